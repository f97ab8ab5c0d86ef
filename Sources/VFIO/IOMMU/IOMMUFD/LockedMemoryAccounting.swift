/// The limit on locked memory that an iommufd's mappings count against (`IOMMU_OPTION_RLIMIT_MODE`).
/// The corresponding request is `IOMMU_OPTION`.
public enum LockedMemoryAccounting: Sendable, Hashable {
    /// The user's: all processes of a user share one limit. The kernel's default.
    case perUser
    /// The process's, as with a type1 container.
    case perProcess
}
