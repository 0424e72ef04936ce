@p = global [1 x ptr] [ptr @g]
define internal i32 @g(i32 %x) {
 %r = xor i32 %x, 7
 ret i32 %r
}
define i32 @f(i32 %x) {
 %g = load volatile ptr, ptr @p
 %r = call i32 %g(i32 %x)
 ret i32 %r
}
