define i32 @f(i32 %x) {
 %d = sitofp i32 %x to double
 %m = fmul double %d, 2.5
 %s = fadd double %m, 7.25
 %r = fptosi double %s to i32
 ret i32 %r
}
