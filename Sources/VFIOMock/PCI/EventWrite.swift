/// An eventfd that the kernel turns into a register write (`VFIO_DEVICE_IOEVENTFD`).
struct EventWrite {
    let bar: Int
    let offset: UInt64
    let width: Int
    let value: UInt64
    let event: EventDescriptor
}
