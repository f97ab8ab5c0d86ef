/// The page size of a DMA buffer.
///
/// Huge pages make large mappings faster and reduce IOMMU page table walks, but must be reserved on the machine.
public enum PageSize: Sendable, Hashable {
    /// The kernel's base pages, 4 KiB on x86.
    case standard
    /// Huge pages of 2 MiB (`MAP_HUGE_2MB`).
    case huge2MiB
    /// Huge pages of 1 GiB (`MAP_HUGE_1GB`).
    case huge1GiB

    /// The size of a huge page in bytes; `nil` for the base size.
    package var byteCount: Int? {
        switch self {
        case .standard: nil
        case .huge2MiB: 2 << 20
        case .huge1GiB: 1 << 30
        }
    }
}
