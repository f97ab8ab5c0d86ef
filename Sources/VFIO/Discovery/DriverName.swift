/// The classification of drivers by their names.
public enum DriverName {
    /// Whether this is `vfio-pci` or a device-specific driver based on it, such as `mlx5_vfio_pci`.
    public static func isVFIO(_ driver: String) -> Bool { driver.hasSuffix("vfio-pci") || driver.hasSuffix("vfio_pci") }

    /// Whether a driver leaves an IOMMU group viable: VFIO's drivers, and those that do no DMA themselves.
    static func isHarmless(_ driver: String) -> Bool {
        isVFIO(driver) || driver == "pci-stub" || driver == "pcieport"
    }
}
