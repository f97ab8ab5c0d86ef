import NVMe
import VFIO

extension QueuePair {
    /// Reads any number of blocks, with several commands in flight.
    mutating func readAll(
        _ namespace: Namespace, at block: UInt64, count: Int, into buffer: borrowing DMABuffer
    ) throws(NVMeError) {
        try require(UInt64(buffer.byteCount), buffer.space, count, namespace)
        unsafe try readAll(namespace, at: block, count: count, into: buffer.iova)
    }

    @unsafe private mutating func readAll(
        _ namespace: Namespace, at block: UInt64, count: Int, into address: IOVA
    ) throws(NVMeError) {
        try transferAll(namespace, block, count, address, "read") { queue, block, count, address in
            unsafe queue.submitRead(of: namespace, at: block, count: count, into: address, ringing: false)
        }
    }

    /// Reads any number of blocks into the memory of another device, and checks that it was not revoked meanwhile.
    ///
    /// The controller's status is not sufficient, because the controller may not detect that its DMA faults.
    mutating func readAll(
        _ namespace: Namespace, at block: UInt64, count: Int, into peer: borrowing PeerMapping
    ) throws(NVMeError) {
        try require(peer.byteCount, peer.space, count, namespace)
        let restores = peer.restoreCount
        let name = "the read of \(count) blocks from \(block) on"
        var failure: CommandStatus?
        do throws(NVMeError) {
            unsafe try readAll(namespace, at: block, count: count, into: peer.iova)
        } catch .status(let status, _) {
            failure = status
        }
        // In this order, so that a restore between the two changes the count.
        let state = peer.state
        guard state == .live, peer.restoreCount == restores else {
            throw .peerRevoked(failure ?? .success, state, command: name)
        }
        if let failure { throw .status(failure, command: name) }
    }

    /// Writes any number of blocks. See `readAll`.
    mutating func writeAll(
        _ namespace: Namespace, at block: UInt64, count: Int, from buffer: borrowing DMABuffer
    ) throws(NVMeError) {
        try require(UInt64(buffer.byteCount), buffer.space, count, namespace)
        try transferAll(namespace, block, count, buffer.iova, "write") { queue, block, count, address in
            unsafe queue.submitWrite(of: namespace, at: block, count: count, from: address, ringing: false)
        }
    }

    /// Checks the memory, because the commands take unchecked addresses.
    private func require(
        _ byteCount: UInt64, _ space: AddressSpace, _ count: Int, _ namespace: Namespace
    ) throws(NVMeError) {
        guard space === memory.submissions.space else {
            throw .invalidArgument("the memory is in another address space than the controller")
        }
        guard count >= 0, UInt64(count) <= byteCount / UInt64(namespace.blockSize) else {
            throw .invalidArgument("\(count) blocks do not fit into \(byteCount) bytes")
        }
    }

    private mutating func transferAll(
        _ namespace: Namespace, _ block: UInt64, _ count: Int, _ address: IOVA, _ name: String,
        _ submit: (inout QueuePair, UInt64, Int, IOVA) -> CommandID?
    ) throws(NVMeError) {
        let blocksOfACommand = max(1, min(maximumTransferByteCount / namespace.blockSize, 65536))
        var done = 0
        var firstFailure: CommandStatus?
        while done < count || inFlightCount > 0 {
            while done < count {
                let part = min(blocksOfACommand, count - done)
                let place = address + UInt64(done) * UInt64(namespace.blockSize)
                guard submit(&self, block + UInt64(done), part, place) != nil else { break }
                done += part
            }
            let status = try waitForCompletion().status
            if !status.isSuccess { firstFailure = firstFailure ?? status }
        }
        if let firstFailure {
            throw .status(firstFailure, command: "the \(name) of \(count) blocks from \(block) on")
        }
    }
}
