@buffer = global [25 x i64] zeroinitializer
declare i32 @_setjmp(ptr) returns_twice
declare void @longjmp(ptr, i32) noreturn
define i32 @f() {
  %r = call i32 @_setjmp(ptr @buffer)
  %again = icmp ne i32 %r, 0
  br i1 %again, label %b, label %a
a:
  call void @longjmp(ptr @buffer, i32 1)
  unreachable
b:
  ret i32 %r
}
