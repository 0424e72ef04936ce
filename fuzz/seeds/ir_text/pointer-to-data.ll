@v = global i32 7
@p = global ptr @v
define i32 @f(i32 %x) {
 %p = load volatile ptr, ptr @p
 %r = load i32, ptr %p
 ret i32 %r
}
