define i32 @f(i32 %x) noinline {
 %i = and i32 %x, 15
 %z = icmp eq i32 %i, 0
 br i1 %z, label %a, label %b
a:
 ret i32 7
b:
 %y = sub i32 %i, 1
 %s = call i32 @f(i32 %y)
 %r = add i32 %s, %i
 ret i32 %r
}
