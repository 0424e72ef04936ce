define tailcc i64 @g(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %x, i64 %y, i64 %z) {
  ret i64 %z
}
define tailcc i64 @f(i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %x, i64 %y, i64 %z) {
  %r = musttail call tailcc i64 @g(i64 %z, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %x, i64 %y)
  ret i64 %r
}
