import VFIO
import VFIOPassthrough

/// What the guest does, and where: a program for a processor in 32-bit protected mode, without page tables.
enum GuestProgram {
    /// All of the guest's memory, from address 0 on.
    static let memoryByteCount: UInt64 = 1 << 20
    /// Where the guest finds BAR 0 of the device.
    static let barAddress: GuestAddress = 0xc000_0000
    /// The interrupt vector that the device's MSI is to be.
    static let vector: UInt8 = 0x40
    /// The IO port that the guest writes to when it is done: its one exit to the monitor.
    static let donePort: UInt16 = 0x10
    /// What the device computes the factorial of.
    static let number: UInt32 = 10
    /// What goes through the device's buffer by DMA.
    static let text = "from one place in the guest's memory to another"

    // Where things are in the guest's memory.
    static let descriptorTable: UInt64 = 0x500
    static let interruptTable: UInt64 = 0x600
    static let stackTop: UInt64 = 0x7000
    static let start: UInt64 = 0x8000
    static let handler: UInt64 = 0x8800
    static let results: UInt64 = 0x9000
    static let source: UInt64 = 0x1_0000
    static let destination: UInt64 = 0x2_0000

    /// What the guest leaves for the monitor: numbers of four bytes from `results` on.
    enum Result: UInt64 {
        case identification = 0x0
        case factorial = 0x4
        case interruptStatus = 0x8
        case interruptCount = 0xc
    }

    /// The main program. What is longer than two bytes ends with its operand, the low byte first.
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

        // From memory into the device's buffer, seen by polling.
        0xc7, 0x83, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00,  //  mov  [ebx + 0x80], 0x10000  ; source
        0xc7, 0x83, 0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,  //  mov  [ebx + 0x88], 0x40000  ; destination
        0xc7, 0x83, 0x90, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,  //  mov  [ebx + 0x90], 64       ; count
        0xc7, 0x83, 0x98, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,  //  mov  [ebx + 0x98], 1        ; start
        0x8b, 0x83, 0x98, 0x00, 0x00, 0x00,  //                    1:    mov  eax, [ebx + 0x98]
        0xa8, 0x01,  //                                                  test al, 1                  ; running?
        0x75, 0xf6,  //                                                  jnz  1b

        // And out of it to another place, told by the interrupt.
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

    /// What runs when the device's interrupt comes.
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

    /// The segments: none, all of the 4 GiB as code, and all of them as data.
    static let segments: [UInt64] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff]
    static let codeSelector: UInt16 = 1 << 3
    static let dataSelector: UInt16 = 2 << 3

    /// The interrupt table's entry for the handler: an interrupt gate.
    static let gate: UInt64 =
        (handler & 0xffff) | UInt64(codeSelector) << 16 | 0x8e00 << 32 | (handler >> 16) << 48
}
