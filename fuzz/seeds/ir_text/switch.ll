define i32 @f(i32 %x) {
 %i = and i32 %x, 7
 switch i32 %i, label %d [i32 0, label %a
 i32 1, label %b
 i32 2, label %c
 i32 3, label %e
 i32 4, label %g]
a:
 ret i32 7
b:
 %s = mul i32 %x, 3
 ret i32 %s
c:
 %t = xor i32 %x, 5
 ret i32 %t
e:
 %u = sub i32 0, %x
 ret i32 %u
g:
 %v = shl i32 %x, 1
 ret i32 %v
d:
 ret i32 -2
}
