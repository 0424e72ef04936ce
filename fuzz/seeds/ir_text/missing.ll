declare i32 @nobody(i32)
define i32 @f(i32 %x) {
  %r = call i32 @nobody(i32 %x)
  ret i32 %r
}
