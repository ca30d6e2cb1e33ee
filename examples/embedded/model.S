/* The bytes of MODEL_PATH in the read-only data of the program, at a multiple of 64, so that the
 * library uses them in place. */
    .section .rodata
    .balign 64
    .globl embedded_model
embedded_model:
    .incbin MODEL_PATH
    .globl embedded_model_end
embedded_model_end:
    .section .note.GNU-stack, "", %progbits
