import CKVM

/// A KVM request: its number and name.
struct KVMRequest {
    let number: UInt
    let name: String

    private init(_ number: UInt, _ name: String) {
        self.number = number
        self.name = name
    }

    static let createMachine = KVMRequest(KVM_REQUEST_CREATE_VM, "KVM_CREATE_VM")
    static let createInterruptControllers = KVMRequest(KVM_REQUEST_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP")
    static let setMemorySlot = KVMRequest(KVM_REQUEST_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION")
    static let setInterruptRoutes = KVMRequest(KVM_REQUEST_SET_GSI_ROUTING, "KVM_SET_GSI_ROUTING")
    static let createProcessor = KVMRequest(KVM_REQUEST_CREATE_VCPU, "KVM_CREATE_VCPU")
    static let stateByteCount = KVMRequest(KVM_REQUEST_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE")
    static let specialRegisters = KVMRequest(KVM_REQUEST_GET_SREGS, "KVM_GET_SREGS")
    static let setSpecialRegisters = KVMRequest(KVM_REQUEST_SET_SREGS, "KVM_SET_SREGS")
    static let setRegisters = KVMRequest(KVM_REQUEST_SET_REGS, "KVM_SET_REGS")
    static let run = KVMRequest(KVM_REQUEST_RUN, "KVM_RUN")
}
