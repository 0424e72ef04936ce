@v = global i32 0
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 65535, ptr @c, ptr null }]
define internal void @c() {
 %a = load volatile i32, ptr @v
 %b = add i32 %a, 7
 store volatile i32 %b, ptr @v
 ret void
}
define i32 @f(i32 %x) {
 %r = load volatile i32, ptr @v
 ret i32 %r
}
