package import CVFIO
package import SystemPackage

// <linux/vfio.h>: a device's descriptor.
extension ABI {
    /// The corresponding request is `VFIO_DEVICE_GET_INFO`.
    package static func getDeviceInfo() -> GrowingRequest<InfoAnswer<cvfio_device_info>> {
        // Before Linux 6.6 the structure had 20 bytes, and capabilities followed.
        info(.getDeviceInfo, cvfio_device_info(), oldestSize: 20) {
            $0.flags & CVFIO_DEVICE_FLAGS_CAPS != 0 ? $0.cap_offset : 0
        }
    }

    /// The corresponding request is `VFIO_DEVICE_GET_REGION_INFO`.
    package static func getRegionInfo(_ index: UInt32) -> GrowingRequest<InfoAnswer<cvfio_region_info>> {
        var structure = cvfio_region_info()
        structure.index = index
        return info(.getRegionInfo, structure) { $0.flags & CVFIO_REGION_INFO_FLAG_CAPS != 0 ? $0.cap_offset : 0 }
    }

    /// The corresponding request is `VFIO_DEVICE_RESET`.
    package static func reset() -> some ABIRequest<Void> { ValueRequest(.reset) }

    /// Makes an event write a register each time it is signalled, or removes the event.
    /// The corresponding request is `VFIO_DEVICE_IOEVENTFD`.
    ///
    /// - Parameters:
    ///   - width: 1, 2, 4 or 8 bytes, each of which has its own flag.
    ///   - offset: The offset in the device's descriptor.
    package static func setRegisterWrite(
        _ value: UInt64, width: Int, at offset: UInt64, by event: FileDescriptor?
    ) -> some ABIRequest<Void> {
        Request(
            .setRegisterWrite,
            cvfio_device_ioeventfd(
                argsz: 0, flags: UInt32(width), offset: offset, data: value, fd: event?.rawValue ?? -1, reserved: 0))
    }

    // MARK: Interrupts

    /// The corresponding request is `VFIO_DEVICE_GET_IRQ_INFO`.
    package static func getIRQInfo(_ index: UInt32) -> some ABIRequest<cvfio_irq_info> {
        Request(.getIRQInfo, cvfio_irq_info(argsz: 0, flags: 0, index: index, count: 0)) { (info, _) in info }
    }

    /// The actions on interrupts.
    package enum IRQAction: String, CustomStringConvertible {
        case mask, unmask, trigger

        fileprivate var flag: UInt32 {
            switch self {
            case .mask: CVFIO_IRQ_SET_ACTION_MASK
            case .unmask: CVFIO_IRQ_SET_ACTION_UNMASK
            case .trigger: CVFIO_IRQ_SET_ACTION_TRIGGER
            }
        }

        package var description: String { rawValue }
    }

    /// The interrupts of a contiguous range that an action applies to, and its arguments.
    package enum InterruptData {
        /// Those that are true.
        case chosen([Bool])
        /// An event for each, or none.
        case events([FileDescriptor?])
    }

    /// Masks, unmasks or raises contiguous interrupts. Allocates nothing: drivers unmask INTx after each interrupt.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    ///
    /// Triggering none, from 0, disables the interrupt type.
    package static func setIRQs(
        _ action: IRQAction, _ index: UInt32, from start: UInt32, count: UInt32
    ) -> some ABIRequest<Void> {
        Request(
            .setIRQs,
            cvfio_irq_set(
                argsz: 0, flags: CVFIO_IRQ_SET_DATA_NONE | action.flag, index: index, start: start, count: count))
    }

    /// Assigns events to interrupts, or masks, unmasks or raises them.
    /// The corresponding request is `VFIO_DEVICE_SET_IRQS`.
    package static func setIRQs(
        _ action: IRQAction, _ index: UInt32, from start: UInt32, _ data: InterruptData
    ) -> some ABIRequest<Void> {
        let (flag, count, tail): (UInt32, UInt32, [UInt8]) =
            switch data {
            case .chosen(let chosen): (CVFIO_IRQ_SET_DATA_BOOL, UInt32(chosen.count), chosen.map { $0 ? 1 : 0 })
            case .events(let events):
                (CVFIO_IRQ_SET_DATA_EVENTFD, UInt32(events.count), bytes(events.map { $0?.rawValue ?? -1 }))
            }
        let header = cvfio_irq_set(argsz: 0, flags: flag | action.flag, index: index, start: start, count: count)
        return TailedRequest(.setIRQs, bytes([header]) + tail) { (_, result) throws(Errno) in
            // A positive result is the number of available vectors if there are too few; none is on then.
            guard result == 0 else { throw .noSpace }
        }
    }

    // MARK: Hot reset

    /// A function that a hot reset affects, with the number of its group or its ID in the iommufd.
    package typealias DependentFunction = (owner: UInt32, segment: UInt16, bus: UInt8, devfn: UInt8)

    /// The corresponding request is `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`.
    package static func getHotResetInfo() -> GrowingRequest<(flags: UInt32, functions: [DependentFunction])> {
        typealias Header = cvfio_pci_hot_reset_info
        let (headerSize, entrySize) = (MemoryLayout<Header>.size, MemoryLayout<cvfio_pci_dependent_device>.size)
        return GrowingRequest(
            call: .getHotResetInfo, firstRoom: 0,
            endless: "the number of functions grows each time it is asked for"
        ) { (room, asking) throws(VFIOError) in
            let buffer = RequestBuffer(Header(), tail: room * entrySize)
            buffer.store(UInt32(buffer.byteCount), at: 0)
            do throws(Errno) {
                try asking.send(buffer)
            } catch .noSpace {
                let wanted = Int(buffer.header(Header.self).count)
                // An upper bound: 256 functions on each of 256 buses behind bridges.
                guard wanted > room, wanted <= 1 << 16 else {
                    throw asking.nonsense("the kernel speaks of \(wanted) functions", errno: .noSpace)
                }
                return .more(wanted)
            } catch {
                throw asking.failure(error)
            }
            let header: Header = buffer.header()
            guard header.count <= room else {
                throw asking.nonsense(
                    "the kernel speaks of \(header.count) functions where there was room for \(room)")
            }
            // Member by member: Swift does not treat a structure with a union as bitwise copyable.
            let functions = (0..<Int(header.count)).compactMap { index -> DependentFunction? in
                let start = headerSize + index * entrySize
                guard let owner: UInt32 = buffer.load(at: start), let segment: UInt16 = buffer.load(at: start + 4),
                    let bus: UInt8 = buffer.load(at: start + 6), let devfn: UInt8 = buffer.load(at: start + 7)
                else { return nil }
                return (owner, segment, bus, devfn)
            }
            return .answer((header.flags, functions))
        }
    }

    /// Resets the bus or the slot; the groups prove ownership of its functions.
    /// The corresponding request is `VFIO_DEVICE_PCI_HOT_RESET`.
    package static func hotReset(_ groups: [FileDescriptor]) -> some ABIRequest<Void> {
        let header = cvfio_pci_hot_reset(argsz: 0, flags: 0, count: UInt32(groups.count))
        return TailedRequest(.hotReset, bytes([header]) + bytes(groups.map(\.rawValue))) { (_, _) in }
    }

    // MARK: Planes of virtual GPUs

    /// Returns what a plane shows, or (probing) whether the device supports this type of plane.
    /// The corresponding request is `VFIO_DEVICE_QUERY_GFX_PLANE`.
    package static func queryPlane(
        _ plane: UInt32, inRegion: Bool, isProbe: Bool = false
    ) -> some ABIRequest<cvfio_device_gfx_plane_info> {
        var structure = cvfio_device_gfx_plane_info()
        structure.flags =
            (inRegion ? CVFIO_GFX_PLANE_TYPE_REGION : CVFIO_GFX_PLANE_TYPE_DMABUF)
            | (isProbe ? CVFIO_GFX_PLANE_TYPE_PROBE : 0)
        structure.drm_plane_type = plane
        return Request(.queryPlane, structure) { (plane, _) in plane }
    }

    /// The corresponding request is `VFIO_DEVICE_GET_GFX_DMABUF`.
    package static func getPlaneDMABuf(_ picture: UInt32) -> some ABIRequest<FileDescriptor> {
        Request(.getPlaneDMABuf, picture) { (_, result) in FileDescriptor(rawValue: Int32(truncatingIfNeeded: result)) }
    }

    // MARK: iommufd

    /// Binds the device to an iommufd, and returns its ID there.
    /// The corresponding request is `VFIO_DEVICE_BIND_IOMMUFD`.
    package static func bindDevice(
        to iommufd: FileDescriptor, token: [UInt8]?
    ) -> some ABIRequest<UInt32> {
        typealias Structure = cvfio_device_bind_iommufd
        var structure = Structure()
        structure.iommufd = iommufd.rawValue
        let memory = token.map { RequestBuffer($0) }
        if let memory {
            structure.flags = CVFIO_DEVICE_BIND_FLAG_TOKEN
            structure.token_uuid_ptr = memory.address
        }
        // Older kernels end the structure before the token, and refuse a longer one only if the rest is not zero.
        let size = memory == nil ? MemoryLayout.offset(of: \Structure.token_uuid_ptr)! : MemoryLayout<Structure>.size
        return Request(.bindDevice, structure, size: size, pointingTo: memory) { (device, _) in device.out_devid }
    }

    /// Attaches the device, or one of its PASIDs, to an IOAS or a page table.
    /// The corresponding request is `VFIO_DEVICE_ATTACH_IOMMUFD_PT`.
    package static func attachDevice(
        to table: UInt32, pasid: UInt32? = nil
    ) -> some ABIRequest<Void> {
        typealias Structure = cvfio_device_attach_iommufd_pt
        let size = pasid == nil ? MemoryLayout.offset(of: \Structure.pasid)! : MemoryLayout<Structure>.size
        let flags = pasid == nil ? 0 : CVFIO_DEVICE_ATTACH_PASID
        return Request(
            .attachDevice, cvfio_device_attach_iommufd_pt(argsz: 0, flags: flags, pt_id: table, pasid: pasid ?? 0),
            size: size)
    }

    /// The corresponding request is `VFIO_DEVICE_DETACH_IOMMUFD_PT`.
    package static func detachDevice(pasid: UInt32? = nil) -> some ABIRequest<Void> {
        typealias Structure = cvfio_device_detach_iommufd_pt
        let size = pasid == nil ? MemoryLayout.offset(of: \Structure.pasid)! : MemoryLayout<Structure>.size
        let flags = pasid == nil ? 0 : CVFIO_DEVICE_DETACH_PASID
        return Request(
            .detachDevice, cvfio_device_detach_iommufd_pt(argsz: 0, flags: flags, pasid: pasid ?? 0), size: size)
    }
}
