@n = thread_local global i32 7
declare ptr @llvm.threadlocal.address.p0(ptr)
define i32 @f(i32 %x) {
 %p = call ptr @llvm.threadlocal.address.p0(ptr @n)
 %a = load i32, ptr %p
 %b = add i32 %a, 2
 store i32 %b, ptr %p
 ret i32 %b
}
