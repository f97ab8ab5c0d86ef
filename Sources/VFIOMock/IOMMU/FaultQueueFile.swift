internal import CVFIO
import SystemPackage
import VFIO

/// A queue of page requests (PRI).
final class FaultQueueFile: IOMMUFDObject, IOMMUFDQueue {
    struct PageRequest {
        /// The number by which the test refers to it.
        let number: Int
        let fault: ciommu_hwpt_pgfault
        let device: ObjectIdentifier
        let pasid: UInt32?
    }

    private unowned let iommu: SystemIOMMU
    let iommufd: OpenFile
    let pipe = Readiness()
    private var waiting: [PageRequest] = []
    private var delivered: [UInt32: PageRequest] = [:]

    init(_ iommu: SystemIOMMU, iommufd: OpenFile) {
        self.iommu = iommu
        self.iommufd = iommufd
    }

    func add(_ request: PageRequest) {
        waiting.append(request)
        pipe.set(true)
    }

    /// Answers a device's pending requests with a failure when it is detached from the page table.
    func refuse(_ device: IOMMUFDDevice, _ pasid: UInt32?) {
        let isItsOwn = { (request: PageRequest) in
            request.device == ObjectIdentifier(device) && request.pasid == pasid
        }
        for request in waiting + delivered.values where isItsOwn(request) {
            iommu.pageResponses[request.number] = .invalid
        }
        waiting.removeAll(where: isItsOwn)
        delivered = delivered.filter { !isItsOwn($0.value) }
        if waiting.isEmpty { pipe.set(false) }
    }

    // MARK: As a file

    var kind: MockOpenFile.Kind { .faultQueue }

    func read(into buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        let size = MemoryLayout<ciommu_hwpt_pgfault>.size
        if buffer.count % size != 0 { throw .illegalSeek }
        if buffer.count == 0 && !waiting.isEmpty { throw .invalidArgument }
        var done = 0
        defer {
            waiting.removeFirst(done / size)
            if waiting.isEmpty { pipe.set(false) }
        }
        var cookie: UInt32 = 1
        for request in waiting.prefix(buffer.count / size) {
            while delivered[cookie] != nil { cookie += 1 }
            var fault = request.fault
            fault.cookie = cookie
            do throws(Errno) {
                try buffer.store(fault, at: done)
            } catch {
                // What is stored has been delivered; the rest stays in the queue.
                if done == 0 { throw error }
                return done
            }
            delivered[cookie] = request
            done += size
        }
        return done
    }

    func write(from buffer: UserBuffer, at position: inout UInt64) throws(Errno) -> Int {
        let size = MemoryLayout<ciommu_hwpt_page_response>.size
        if buffer.count % size != 0 { throw .illegalSeek }
        var done = 0
        while done < buffer.count {
            let response = try buffer.load(ciommu_hwpt_page_response(), at: done)
            let isKnown = response.code == CIOMMUFD_PAGE_RESP_SUCCESS || response.code == CIOMMUFD_PAGE_RESP_INVALID
            guard isKnown, let request = delivered.removeValue(forKey: response.cookie) else {
                if done == 0 { throw .invalidArgument }
                return done
            }
            iommu.pageResponses[request.number] = response.code == CIOMMUFD_PAGE_RESP_SUCCESS ? .success : .invalid
            done += size
        }
        return done
    }
}
