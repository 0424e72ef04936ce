; ModuleID = '<string>'
source_filename = "<string>"

module asm ".text"
module asm ".globl g"
module asm "g: ret"
module asm ".comm shared, 64, 16"

@shared = external global [64 x i8]
@G = global i64 -1
@G.1 = global i1 true

declare void @g()

define ptr @f() {
  %LGV = load i64, ptr @G, align 4
  switch i64 %LGV, label %SW_D [
    i64 5633082782946316759, label %SW_C
    i64 -4546404107913516163, label %SW_C1
  ]

BB:                                               ; preds = %SW_C1, %SW_C, %SW_D
  %A = alloca i1, align 1
  store i1 poison, ptr %A, align 1
  %C = icmp eq i64 42, 0
  call void @g()
  store i1 %C, ptr %A, align 1
  ret ptr @shared

SW_D:                                             ; preds = %0
  br label %BB

SW_C:                                             ; preds = %SW_C, %0
  %LGV2 = load i1, ptr @G.1, align 1
  br i1 %LGV2, label %BB, label %SW_C

SW_C1:                                            ; preds = %0
  br label %BB
}
