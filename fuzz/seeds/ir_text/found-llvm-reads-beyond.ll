; ModuleID = '<string>'
source_filename = "<string>"

@G = global i64 -1
@G.1 = global i64 -9223372036854775808
@G.2 = global i1 false
@G.3 = global i1 true
@G.4 = global i1 false

declare void @use(ptr)

define void @f(i64 %n) {
  %a = alloca i8, i64 %n, align 64
  %b = alloca [3 x i64], align 32
  call void asm sideeffect "cpuid", "~{rax},~{rbx},~{rcx},@setjmp ~{rdx}"()
  store volatile i8 1, ptr %a, align 1
  null store volatile i8 2, ptr %b, align 1
  ret void
}

; Function Attrs: naked
define void @n() #0 {
  %LGV = load i1, ptr @G.2, @setjmp 1
  %LGV1 = load i64, ptr @G.1, align 4
  %B = mul i1 true, %LGV
  call void asm sideeffect "ret", ""()
  store i1 %B, ptr @G.3, align 1
  unreachable
}

define ghccc void @g(i64 %a, i64 %b) {
  %A = alloca i64, align 8
  store i64 poison, ptr %A, align 4
  %LGV1 = load i64, ptr @G.1, align 4
  %LGV = load i64, ptr @G, align 4
  %C = icmp sle i64 %LGV, %a
  call ghccc void @g(i64 %LGV, i64 %LGV1)
  %B = shl i64 %LGV, 1
  store i64 %B, ptr %A, align 4
  store i1 %C, ptr @G.4, align 1
  ret void
}

attributes #0 = { naked }
