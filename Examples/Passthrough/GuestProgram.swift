import VFIO
import VFIOPassthrough

/// The guest program and its memory layout. It runs in 32-bit protected mode without paging.
enum GuestProgram {
    /// The size of the guest's memory, which begins at address 0.
    static let memoryByteCount: UInt64 = 1 << 20
    /// The guest address of the device's BAR 0.
    static let barAddress: GuestAddress = 0xc000_0000
    /// The interrupt vector of the device's MSI.
    static let vector: UInt8 = 0x40
    /// The I/O port that the guest writes when it is done: its only exit to the monitor.
    static let donePort: UInt16 = 0x10
    /// The argument of the factorial.
    static let number: UInt32 = 10
    /// The text that is copied through the device's buffer by DMA.
    static let text = "from one place in the guest's memory to another"

    // The layout of the guest's memory.
    static let descriptorTable: UInt64 = 0x500
    static let interruptTable: UInt64 = 0x600
    static let stackTop: UInt64 = 0x7000
    static let start: UInt64 = 0x8000
    static let handler: UInt64 = 0x8800
    static let results: UInt64 = 0x9000
    static let source: UInt64 = 0x1_0000
    static let destination: UInt64 = 0x2_0000

    /// The results of the guest: numbers of four bytes, starting at `results`.
    enum Result: UInt64 {
        case identification = 0x0
        case factorial = 0x4
        case interruptStatus = 0x8
        case interruptCount = 0xc
    }

    /// The main program. Instructions of more than two bytes end with their little-endian operand.
    static let code: [UInt8] = [
        0xbb, 0x00, 0x00, 0x00, 0xc0,  //                                mov  ebx, 0xc0000000      ; the device
        0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00,  //  mov  [0xfee000f0], 0x1ff  ; the APIC on
        0x8b, 0x03,  //                                                  mov  eax, [ebx]           ; identification
        0xa3, 0x00, 0x90, 0x00, 0x00,  //                                mov  [0x9000], eax

        0xc7, 0x43, 0x08, 0x0a, 0x00, 0x00, 0x00,  //                    mov  [ebx + 0x08], 10     ; factorial
        0x8b, 0x43, 0x20,  //                                      1:    mov  eax, [ebx + 0x20]    ; status
        0xa8, 0x01,  //                                                  test al, 1                ; computing?
        0x75, 0xf9,  //                                                  jnz  1b
        0x8b, 0x43, 0x08,  //                                            mov  eax, [ebx + 0x08]
        0xa3, 0x04, 0x90, 0x00, 0x00,  //                                mov  [0x9004], eax

        // DMA from memory to the device's buffer, with polling.
        0xc7, 0x83, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00,  //  mov  [ebx + 0x80], 0x10000  ; source
        0xc7, 0x83, 0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,  //  mov  [ebx + 0x88], 0x40000  ; destination
        0xc7, 0x83, 0x90, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,  //  mov  [ebx + 0x90], 64       ; count
        0xc7, 0x83, 0x98, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,  //  mov  [ebx + 0x98], 1        ; start
        0x8b, 0x83, 0x98, 0x00, 0x00, 0x00,  //                    1:    mov  eax, [ebx + 0x98]
        0xa8, 0x01,  //                                                  test al, 1                  ; running?
        0x75, 0xf6,  //                                                  jnz  1b

        // DMA from the buffer to another address, with an interrupt.
        0xc7, 0x83, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,  //  mov  [ebx + 0x80], 0x40000
        0xc7, 0x83, 0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00,  //  mov  [ebx + 0x88], 0x20000
        0xc7, 0x83, 0x98, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,  //  mov  [ebx + 0x98], 7        ; start, and
        0xfa,  //                                                  1:    cli                         ; interrupt
        0x83, 0x3d, 0x0c, 0x90, 0x00, 0x00, 0x00,  //                    cmp  [0x900c], 0            ; has it come?
        0x75, 0x04,  //                                                  jne  2f
        0xfb,  //                                                        sti                         ; from the next
        0xf4,  //                                                        hlt                         ; sleep
        0xeb, 0xf2,  //                                                  jmp  1b
        0xe6, 0x10,  //                                            2:    out  0x10, al               ; done
    ]

    /// The handler of the device's interrupt.
    static let handlerCode: [UInt8] = [
        0x50,  //                                                        push eax
        0x8b, 0x43, 0x24,  //                                            mov  eax, [ebx + 0x24]      ; which interrupt
        0x89, 0x43, 0x64,  //                                            mov  [ebx + 0x64], eax      ; acknowledged
        0xa3, 0x08, 0x90, 0x00, 0x00,  //                                mov  [0x9008], eax
        0xff, 0x05, 0x0c, 0x90, 0x00, 0x00,  //                          inc  [0x900c]
        0xc7, 0x05, 0xb0, 0x00, 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x00,  //  mov  [0xfee000b0], 0        ; end of interrupt
        0x58,  //                                                        pop  eax
        0xcf,  //                                                        iret
    ]

    /// The segment descriptors: null, code with 4 GiB, and data with 4 GiB.
    static let segments: [UInt64] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff]
    static let codeSelector: UInt16 = 1 << 3
    static let dataSelector: UInt16 = 2 << 3

    /// The interrupt descriptor of the handler: an interrupt gate.
    static let gate: UInt64 =
        (handler & 0xffff) | UInt64(codeSelector) << 16 | 0x8e00 << 32 | (handler >> 16) << 48
}
