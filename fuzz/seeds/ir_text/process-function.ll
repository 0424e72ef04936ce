declare i64 @labs(i64)
define i32 @f(i32 %x) {
 %w = sext i32 %x to i64
 %a = call i64 @labs(i64 %w)
 %t = trunc i64 %a to i32
 %r = add i32 %t, 7
 ret i32 %r
}
