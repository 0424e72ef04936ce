@n = global i32 7
define i32 @f(i32 %x) {
 %a = load i32, ptr @n
 %b = add i32 %a, 1
 store i32 %b, ptr @n
 ret i32 %b
}
