define <8 x float> @f(<8 x float> %x, ptr byval(i64) %p) {
  %y = fmul <8 x float> %x, <float 1.5, float 2.5, float 3.5, float 4.5, float 5.5, float 6.5, float 7.5, float 8.5>
  ret <8 x float> %y
}
define x86_fp80 @g(i128 %a, i17 %b) {
  %r = uitofp i128 %a to x86_fp80
  ret x86_fp80 %r
}
