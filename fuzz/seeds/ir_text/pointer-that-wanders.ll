@a = global i32 7
@b = global i32 7
@p = global ptr @a
define i32 @f(i32 %x) {
 %p = load volatile ptr, ptr @p
 %r = load i32, ptr %p
 %c = icmp eq ptr %p, @a
 %q = select i1 %c, ptr @b, ptr @a
 store volatile ptr %q, ptr @p
 ret i32 %r
}
