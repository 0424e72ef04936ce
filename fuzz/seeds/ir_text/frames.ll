declare void @use(ptr)
define void @f(i64 %n) {
  %a = alloca i8, i64 %n, align 64
  %b = alloca [3 x i64], align 32
  call void asm sideeffect "cpuid", "~{rax},~{rbx},~{rcx},~{rdx}"()
  store volatile i8 1, ptr %a
  store volatile i8 2, ptr %b
  ret void
}
define void @n() naked {
  call void asm sideeffect "ret", ""()
  unreachable
}
define ghccc void @g(i64 %a, i64 %b) {
  ret void
}
