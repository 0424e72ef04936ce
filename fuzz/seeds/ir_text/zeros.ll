@z = internal global [50 x i32] zeroinitializer
define i32 @f(i32 %x) {
 %e = getelementptr i32, ptr @z, i32 49
 %a = load i32, ptr %e
 %b = add i32 %a, 7
 store i32 %b, ptr %e
 ret i32 %b
}
