@t = internal constant [2 x ptr] [ptr blockaddress(@f, %a), ptr blockaddress(@f, %b)]
define i32 @f(i32 %x) {
 %i = and i32 %x, 1
 %e = getelementptr ptr, ptr @t, i32 %i
 %l = load volatile ptr, ptr %e
 indirectbr ptr %l, [label %a, label %b]
a:
 ret i32 7
b:
 ret i32 11
}
