internal import CVFIO
import SystemPackage
import VFIO

final class Container: FileOperations {
    private unowned let driver: VFIODriver
    private(set) var groups: [VFIOGroup] = []
    /// Set by `VFIO_SET_IOMMU` until the last group leaves.
    private(set) var iommu: Type1IOMMU?
    /// Whether `VFIO_SET_IOMMU` has chosen no-IOMMU.
    private var hasChosenNone = false

    init(_ driver: VFIODriver) { self.driver = driver }

    var kind: MockOpenFile.Kind { .container }

    var hasDriver: Bool { iommu != nil || hasChosenNone }

    private var isNoIOMMU: Bool { groups.first.map { !$0.hasIOMMU } ?? false }

    // MARK: Groups

    func add(_ group: VFIOGroup) throws(Errno) {
        if iommu?.list.areas.contains(where: \.hasLostAddress) == true { throw .resourceBusy }
        if let iommu, !group.isEmulated {
            if !iommu.fitsHardware { throw .invalidArgument }
            try iommu.pinAll()
        }
        groups.append(group)
        noteKinds()
        if let iommu { for function in group.functions { function.space = iommu } }
    }

    func remove(_ group: VFIOGroup) {
        for function in group.functions { function.space = nil }
        groups.removeAll { $0 === group }
        noteKinds()
        guard groups.isEmpty else { return }
        iommu?.close()
        iommu = nil
        hasChosenNone = false
    }

    private func noteKinds() {
        iommu?.hasEmulated = groups.contains(where: \.isEmulated)
        iommu?.hasDomain = groups.contains { !$0.isEmulated }
    }

    // MARK: Requests

    func control(_ request: UInt, _ argument: Argument) throws(Errno) -> Int {
        switch request {
        case CVFIO_GET_API_VERSION: return Int(CVFIO_API_VERSION)
        case CVFIO_CHECK_EXTENSION: return hasExtension(argument.value) ? 1 : 0
        case CVFIO_SET_IOMMU:
            try choose(argument.value)
            return 0
        default:
            if hasChosenNone { throw .inappropriateIOCTLForDevice }
            guard let iommu else { throw .invalidArgument }
            return try iommu.control(request, argument)
        }
    }

    private func choose(_ type: UInt) throws(Errno) {
        if groups.isEmpty || hasDriver { throw .invalidArgument }
        if isNoIOMMU {
            guard type == CVFIO_NOIOMMU_IOMMU else { throw .operationNotSupportedByDevice }
            hasChosenNone = true
            return
        }
        let types = [CVFIO_TYPE1_IOMMU, CVFIO_TYPE1v2_IOMMU, CVFIO_TYPE1_NESTING_IOMMU]
        guard types.contains(type), type1HasExtension(type) else { throw .operationNotSupportedByDevice }
        let iommu = Type1IOMMU(isVersion2: type != CVFIO_TYPE1_IOMMU, driver.bus.iommu)
        self.iommu = iommu
        noteKinds()
        for group in groups { for function in group.functions { function.space = iommu } }
    }

    /// Before `VFIO_SET_IOMMU`, every driver that the container's groups allow is asked.
    private func hasExtension(_ number: UInt) -> Bool {
        let asksNone = hasDriver ? hasChosenNone : groups.isEmpty || isNoIOMMU
        if asksNone, number == CVFIO_NOIOMMU_IOMMU, driver.bus.release.hasUnsafeNoIOMMUMode { return true }
        return !isNoIOMMU && type1HasExtension(number)
    }

    private func type1HasExtension(_ number: UInt) -> Bool {
        switch number {
        case CVFIO_TYPE1_IOMMU, CVFIO_TYPE1v2_IOMMU, CVFIO_UNMAP_ALL: true
        case CVFIO_TYPE1_NESTING_IOMMU: driver.bus.release.follows6_1
        case CVFIO_UPDATE_VADDR: iommu.map { !$0.hasEmulated } ?? false
        // CVFIO_DMA_CC_IOMMU among them: the IOMMU cannot enforce coherency of no-snoop accesses.
        default: false
        }
    }
}
