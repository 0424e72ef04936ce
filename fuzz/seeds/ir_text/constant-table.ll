@t = constant [4 x i32] [i32 7, i32 1, i32 2, i32 3]
define i32 @f(i32 %x) {
 %i = and i32 %x, 3
 %e = getelementptr i32, ptr @t, i32 %i
 %r = load i32, ptr %e
 ret i32 %r
}
