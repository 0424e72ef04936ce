@i = ifunc i32 (), ptr @resolve
define internal ptr @resolve() {
  ret ptr @f
}
define i32 @f() {
  ret i32 3
}
define i32 @g() prefix i32 1 {
  %r = call i32 @i()
  ret i32 %r
}
