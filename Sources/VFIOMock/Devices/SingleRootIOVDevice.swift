/// A device with virtual functions (SR-IOV).
///
/// As on Linux there are none at first. Writing their number to `sriov_numvfs` creates them, bound to vfio-pci, once
/// the vfio-pci parameter `enable_sriov` is set:
/// ```swift
/// let machine = MockMachine()
/// machine.plug(NVMePhysicalFunctionModel(), at: "0000:02:00.0")
/// try machine.kernel.writeFile("/sys/module/vfio_pci/parameters/enable_sriov", Array("Y".utf8))
/// try machine.kernel.writeFile("/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", Array("2".utf8))
/// // 0000:02:00.1 and 0000:02:00.2 are there, each in a group of its own.
/// ```
/// Opening one requires the token that the users of the physical function share: see `VFToken`.
public protocol SingleRootIOVDevice: MockDevice {
    /// The maximum number of virtual functions, 1 or more, limited by the free addresses on its bus after it.
    var virtualFunctionLimit: Int { get }

    /// Makes a virtual function, a PCI Express function without an interrupt pin.
    ///
    /// - Parameter number: Which one, from 0.
    func makeVirtualFunction(_ number: Int) -> any MockDevice
}
