internal import CVFIO
import SystemPackage
import VFIO

/// A queue of page faults.
final class FaultQueueFile: ReadableQueue {
    /// A device's wish for a page.
    struct Wish {
        /// The number that the test knows it by.
        let number: Int
        let fault: ciommu_hwpt_pgfault
        let device: ObjectIdentifier
        let pasid: UInt32?
    }

    let id: UInt32
    unowned let iommufd: OpenFile
    /// Its descriptor holds the object.
    let readiness = Readiness()
    private var waiting: [Wish] = []
    private var delivered: [UInt32: Wish] = [:]

    init(id: UInt32, iommufd: OpenFile) {
        self.id = id
        self.iommufd = iommufd
    }

    func add(_ wish: Wish) {
        waiting.append(wish)
        readiness.set(true)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let size = MemoryLayout<ciommu_hwpt_pgfault>.size
        if buffer.count % size != 0 { throw .illegalSeek }
        var done = 0
        while let wish = waiting.first {
            if done == buffer.count {
                if done == 0 { throw .invalidArgument }
                return done
            }
            var fault = wish.fault
            var cookie: UInt32 = 1
            while delivered[cookie] != nil { cookie += 1 }
            fault.cookie = cookie
            delivered[cookie] = wish
            unsafe buffer.storeBytes(of: fault, toByteOffset: done, as: ciommu_hwpt_pgfault.self)
            waiting.removeFirst()
            done += size
        }
        readiness.set(false)
        return done
    }

    func write(_ buffer: UnsafeRawBufferPointer, _ core: Core) throws(Errno) -> Int {
        let size = MemoryLayout<ciommu_hwpt_page_response>.size
        if buffer.count % size != 0 { throw .illegalSeek }
        var done = 0
        while done < buffer.count {
            let response = unsafe buffer.loadUnaligned(fromByteOffset: done, as: ciommu_hwpt_page_response.self)
            let isKnown = response.code == CIOMMUFD_PAGE_RESP_SUCCESS || response.code == CIOMMUFD_PAGE_RESP_INVALID
            guard isKnown, let wish = delivered.removeValue(forKey: response.cookie) else {
                if done == 0 { throw .invalidArgument }
                return done
            }
            core.pageAnswers[wish.number] = response.code == CIOMMUFD_PAGE_RESP_SUCCESS ? .success : .invalid
            done += size
        }
        return done
    }

    /// What a device has asked for and nobody has answered is refused, when it leaves the page table.
    func refuse(_ device: IOMMUFDDevice, _ pasid: UInt32?, _ core: Core) {
        let isItsOwn = { (wish: Wish) in wish.device == ObjectIdentifier(device) && wish.pasid == pasid }
        for wish in waiting + delivered.values where isItsOwn(wish) { core.pageAnswers[wish.number] = .invalid }
        waiting.removeAll(where: isItsOwn)
        delivered = delivered.filter { !isItsOwn($0.value) }
        if waiting.isEmpty { readiness.set(false) }
    }
}
