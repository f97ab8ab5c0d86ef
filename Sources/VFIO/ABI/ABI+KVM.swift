internal import CVFIO
package import SystemPackage

// <linux/kvm.h>: requests that connect VFIO's devices to a virtual machine.
extension ABI {
    /// Creates the machine's kvm-vfio device, or only probes for it. The corresponding request is `KVM_CREATE_DEVICE`.
    package static func makeVFIODevice(onlyAsking: Bool = false) -> some ABIRequest<FileDescriptor> {
        Request(
            .makeVFIODevice,
            ckvm_create_device(type: CKVM_DEV_TYPE_VFIO, fd: 0, flags: onlyAsking ? CKVM_CREATE_DEVICE_TEST : 0)
        ) { (device, _) in FileDescriptor(rawValue: Int32(bitPattern: device.fd)) }
    }

    /// The corresponding request is `KVM_SET_DEVICE_ATTR`.
    package static func addVFIOFile(_ file: FileDescriptor) -> some ABIRequest<Void> {
        setVFIOFile(.addVFIOFile, CKVM_DEV_VFIO_FILE_ADD, file)
    }

    /// The corresponding request is `KVM_SET_DEVICE_ATTR`.
    package static func removeVFIOFile(_ file: FileDescriptor) -> some ABIRequest<Void> {
        setVFIOFile(.removeVFIOFile, CKVM_DEV_VFIO_FILE_DEL, file)
    }

    private static func setVFIOFile(
        _ call: Call, _ attribute: UInt64, _ file: FileDescriptor
    ) -> some ABIRequest<Void> {
        let value = RequestBuffer(file.rawValue)
        return Request(
            call, ckvm_device_attr(flags: 0, group: CKVM_DEV_VFIO_FILE, attr: attribute, addr: value.address),
            pointingTo: value)
    }

    /// Makes an event raise an interrupt of the guest, or removes the event. The corresponding request is `KVM_IRQFD`.
    package static func setIRQFD(
        _ event: FileDescriptor, to line: UInt32, acknowledgedBy unmask: FileDescriptor? = nil, isEnd: Bool = false
    ) -> some ABIRequest<Void> {
        var structure = ckvm_irqfd()
        structure.fd = UInt32(bitPattern: event.rawValue)
        structure.gsi = line
        structure.flags =
            (unmask == nil ? 0 : CKVM_IRQFD_FLAG_RESAMPLE) | (isEnd ? CKVM_IRQFD_FLAG_DEASSIGN : 0)
        structure.resamplefd = UInt32(bitPattern: unmask?.rawValue ?? 0)
        return Request(.setIRQFD, structure)
    }

    /// Makes a guest's write of a value signal an event, or removes the event.
    /// The corresponding request is `KVM_IOEVENTFD`.
    package static func setIOEventFD(
        _ event: FileDescriptor, onWriteOf value: UInt64, width: Int, at address: UInt64, isEnd: Bool = false
    ) -> some ABIRequest<Void> {
        var structure = ckvm_ioeventfd()
        structure.addr = address
        structure.len = UInt32(width)
        structure.datamatch = value
        structure.flags = CKVM_IOEVENTFD_FLAG_DATAMATCH | (isEnd ? CKVM_IOEVENTFD_FLAG_DEASSIGN : 0)
        structure.fd = event.rawValue
        return Request(.setIOEventFD, structure)
    }

    /// Maps memory of the process at guest physical addresses; a slot without memory is deleted.
    /// The corresponding request is `KVM_SET_USER_MEMORY_REGION`.
    package static func setMemorySlot(
        _ slot: UInt32, at guestAddress: UInt64 = 0, byteCount: UInt64 = 0, address: UInt64 = 0,
        isWritable: Bool = true
    ) -> some ABIRequest<Void> {
        Request(
            .setMemorySlot,
            ckvm_userspace_memory_region(
                slot: slot, flags: isWritable ? 0 : CKVM_MEM_READONLY, guest_phys_addr: guestAddress,
                memory_size: byteCount, userspace_addr: address))
    }
}

// <linux/dma-buf.h>.
extension ABI {
    /// The maximum length of a dma-buf's name, in bytes without the terminating zero.
    package static var longestDMABufName: Int { Int(CDMA_BUF_NAME_LEN) - 1 }

    /// The corresponding request is `DMA_BUF_SET_NAME`.
    package static func setDMABufName(_ name: String) -> some ABIRequest<Void> {
        TailedRequest(.setDMABufName, name.utf8 + [0]) { (_, _) in }
    }

    /// Starts or ends CPU access to a dma-buf's memory. The corresponding request is `DMA_BUF_IOCTL_SYNC`.
    package static func syncDMABuf(isEnd: Bool, isRead: Bool, isWritten: Bool) -> some ABIRequest<Void> {
        let step = isEnd ? CDMA_BUF_SYNC_END : CDMA_BUF_SYNC_START
        return Request(
            .syncDMABuf,
            cdma_buf_sync(flags: step | (isRead ? CDMA_BUF_SYNC_READ : 0) | (isWritten ? CDMA_BUF_SYNC_WRITE : 0)))
    }
}
