@t = internal constant [2 x ptr] [ptr @g, ptr @h]
define internal i32 @g() {
 ret i32 7
}
define internal i32 @h() {
 ret i32 -1
}
define i32 @f(i32 %x) {
 %i = and i32 %x, 1
 %e = getelementptr ptr, ptr @t, i32 %i
 %g = load volatile ptr, ptr %e
 %r = call i32 %g()
 ret i32 %r
}
