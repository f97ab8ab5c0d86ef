@testable import VFIO
@testable import VFIOPassthrough

/// Migration and DMA logging over a kernel that answers what it cannot mean.
@Suite struct MigrationTests {
    private let kernel = ScriptedKernel.machine()

    /// Answers `VFIO_DEVICE_FEATURE`: capabilities by a number, the rest by a closure, which gets the feature, whether it is
    /// set, and its data.
    private func answer(
        flags: UInt64 = 7,
        _ body: @escaping @Sendable (UInt32, Bool, UnsafeMutableRawBufferPointer) throws(Errno) -> Void = {
            (_, _, _) throws(Errno) in
        }
    ) {
        kernel.answer(CVFIO_DEVICE_FEATURE) { (bytes) throws(Errno) in
            let header = bytes.load(as: cvfio_device_feature.self)
            let feature = header.flags & CVFIO_DEVICE_FEATURE_MASK
            let data = UnsafeMutableRawBufferPointer(rebasing: bytes[8...])
            if feature == CVFIO_DEVICE_FEATURE_MIGRATION { data.storeBytes(of: flags, as: UInt64.self) }
            try body(feature, header.flags & CVFIO_DEVICE_FEATURE_SET != 0, data)
            return 0
        }
    }

    /// Answers the state with a number, and changes of it with a descriptor.
    private func answer(state: UInt32, stream: Int32 = -1) {
        answer { (feature, isSet, data) throws(Errno) in
            guard feature == CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE else { return }
            let value = isSet ? data.load(as: UInt32.self) : state
            data.storeBytes(of: value, as: UInt32.self)
            data.storeBytes(of: isSet ? stream : -1, toByteOffset: 4, as: Int32.self)
        }
    }

    // MARK: Migration

    @Test(arguments: [0, 2, 6] as [UInt64]) func withoutStopCopyThereIsNoMigration(_ flags: UInt64) throws {
        answer(flags: flags)
        let device = try kernel.device()
        #expect(code { _ = try device.migration() } == .unexpectedAnswer)
    }

    @Test func flagsThatNobodyKnowsDoNoHarm() throws {
        answer(flags: .max)
        #expect(try kernel.device().migration().capabilities.contains(.preCopy))
    }

    @Test(arguments: [8, .max] as [UInt32]) func aStateThatNobodyKnowsIsAnError(_ state: UInt32) throws {
        answer(state: state)
        let migration = try kernel.device().migration()
        #expect(code { _ = try migration.state() } == .unexpectedAnswer)
        #expect(code { _ = try migration.save() } == .unexpectedAnswer)
    }

    @Test func aStateThatTheDeviceLacksIsRefused() throws {
        answer(flags: 1)
        let migration = try kernel.device().migration()
        for state in [MigrationState.runningP2P, .preCopy, .preCopyP2P, .error] {
            kernel.expectRefusal(state == .error ? .invalidArgument : .unsupported) {
                _ = try migration.changeState(to: state)
            }
        }
    }

    /// Who was stopped stays so.
    @Test(arguments: [CVFIO_DEVICE_STATE_RUNNING, CVFIO_DEVICE_STATE_STOP])
    func aMissingStreamIsAnErrorAndTheDeviceGoesBack(_ state: UInt32) throws {
        let log = Notes<UInt32>()
        answer { (feature, isSet, data) throws(Errno) in
            guard feature == CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE else { return }
            if isSet { log.add(data.load(as: UInt32.self)) }
            data.storeBytes(of: state, as: UInt32.self)
            data.storeBytes(of: -1, toByteOffset: 4, as: Int32.self)
        }
        let migration = try kernel.device().migration()
        #expect(code { _ = try migration.save() } == .unexpectedAnswer)
        #expect(log.all == [CVFIO_DEVICE_STATE_STOP_COPY, state])
        #expect(code { try migration.restore([1]) } == .unexpectedAnswer)
    }

    @Test func aDeviceInErrorIsToBeReset() throws {
        answer(state: CVFIO_DEVICE_STATE_ERROR)
        let migration = try kernel.device().migration()
        expectError(.busy, hintContaining: "recover()") { _ = try migration.save() }
        // The reset of this kernel helps nothing.
        #expect(code { try migration.recover() } == .unexpectedAnswer)
    }

    @Test func aSaveThatCannotGoBackSaysWhy() throws {
        answer { (feature, isSet, data) throws(Errno) in
            guard feature == CVFIO_DEVICE_FEATURE_MIG_DEVICE_STATE else { return }
            data.storeBytes(of: CVFIO_DEVICE_STATE_RUNNING, as: UInt32.self)
            if isSet { throw .ioError }
        }
        let migration = try kernel.device().migration()
        let error = expectError(errno: .ioError) { _ = try migration.save() }
        #expect(
            error?.hint?.contains(
                "does not go back to RUNNING, after this: cannot change the migration state to STOP_COPY") == true)
    }

    @Test func aStreamIsClosedWhenItIsNotUsed() throws {
        let before = kernel.openNames
        let stream = kernel.makeDescriptor("stream")
        answer(state: CVFIO_DEVICE_STATE_RUNNING, stream: stream.rawValue)
        do {
            let migration = try kernel.device().migration()
            _ = try migration.changeState(to: .stopCopy)
        }
        #expect(kernel.openNames == before)
    }

    // MARK: Streams

    /// A stream that answers as it is told.
    private func stream(_ prepare: (FileDescriptor) -> Void) -> MigrationStream {
        let descriptor = kernel.makeDescriptor("stream")
        prepare(descriptor)
        return MigrationStream(OwnedDescriptor(descriptor, of: kernel), of: "it")
    }

    @Test func nothingNowIsNoError() throws {
        let stream = stream { kernel.onRead(of: $0) { (_) throws(Errno) in throw .noMessage } }
        #expect(try stream.read(upTo: 16) == [])
        try stream.close()
    }

    @Test func aReadOfMoreThanTheRoomIsAnError() throws {
        let stream = stream { kernel.onRead(of: $0) { (bytes) throws(Errno) in bytes.count + 1 } }
        #expect(code { _ = try stream.read(upTo: 16) } == .unexpectedAnswer)
        #expect(code { _ = try stream.read(upTo: 0) } == .invalidArgument)
        try stream.close()
    }

    @Test func allThatThereIsCanBeAskedFor() throws {
        let stream = stream {
            kernel.onRead(of: $0) { (bytes) throws(Errno) in
                bytes[0] = 42
                return 1
            }
        }
        #expect(try stream.read(upTo: .max) == [42])
        try stream.close()
    }

    @Test func aWriteInPartsGoesOnWhereItStopped() throws {
        let taken = Notes<UInt32>()
        let stream = stream {
            kernel.onWrite(to: $0) { (bytes) throws(Errno) in
                let count = min(bytes.count, 3)
                for byte in bytes[..<count] { taken.add(UInt32(byte)) }
                return count
            }
        }
        try stream.write(Array(0..<8))
        #expect(taken.all == Array(0..<8))
        try stream.close()
    }

    @Test(arguments: [-1, 0, 9]) func aWriteOfNothingOrOfMoreThanThereIsIsAnError(_ count: Int) throws {
        let stream = stream { kernel.onWrite(to: $0) { (_) throws(Errno) in count } }
        #expect(code { try stream.write(Array(0..<8)) } == .unexpectedAnswer)
        try stream.close()
    }

    @Test(arguments: [(Errno.operationNotSupportedByDevice, VFIOError.Code.revoked), (.noMemory, .noSpace)])
    func refusalsOfAStreamAreNamed(_ errno: Errno, _ expected: VFIOError.Code) throws {
        let stream = stream {
            kernel.onRead(of: $0) { (_) throws(Errno) in throw errno }
            kernel.onWrite(to: $0) { (_) throws(Errno) in throw errno }
        }
        #expect(code { _ = try stream.read(upTo: 1) } == expected)
        #expect(code { try stream.write([1]) } == expected)
        try stream.close()
    }

    // MARK: DMA logging

    @Test func aLongRangeIsAskedForInPieces() throws {
        let pieces = Notes<UInt32>()
        let pagesAtATime: UInt64 = 1 << 18
        answer { (feature, isSet, data) throws(Errno) in
            guard feature == CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, !isSet else { return }
            let report = data.load(as: cvfio_device_feature_dma_logging_report.self)
            pieces.add(UInt32(report.iova >> 12))
            pieces.add(UInt32(report.length >> 12))
            // The last page of each piece.
            let last = Int(report.length >> 12) - 1
            UnsafeMutablePointer<UInt64>(bitPattern: UInt(report.bitmap))![last / 64] |= 1 << UInt64(last % 64)
        }
        let device = try kernel.device()
        let end = IOVA((1 + 2 * pagesAtATime + 3) << 12)
        let log = try device.startDMALog(of: [0x1000..<end])
        let pages = try log.takeDirtyPages(in: 0x1000..<end)
        #expect(pieces.all == [1, 262_144, 262_145, 262_144, 524_289, 3])
        #expect(pages.map { $0.rawValue >> 12 } == [pagesAtATime, 2 * pagesAtATime, 2 * pagesAtATime + 3])
        try log.close()
    }

    @Test(arguments: [0, 5000, .max] as [UInt64])
    func aPageSizeThatIsNoneEndsTheLog(_ pageSize: UInt64) throws {
        let stops = Notes<UInt32>()
        answer { (feature, _, data) throws(Errno) in
            if feature == CVFIO_DEVICE_FEATURE_DMA_LOGGING_START { data.storeBytes(of: pageSize, as: UInt64.self) }
            if feature == CVFIO_DEVICE_FEATURE_DMA_LOGGING_STOP { stops.add(feature) }
        }
        let device = try kernel.device()
        #expect(code { _ = try device.startDMALog(of: [0x1000..<0x2000]) } == .unexpectedAnswer)
        #expect(stops.all.count == 1)
    }

    @Test func pagesAreReadFromTheBitmapAndBitsBeyondTheEndAreNot() throws {
        answer { (feature, _, data) throws(Errno) in
            guard feature == CVFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT else { return }
            let report = data.load(as: cvfio_device_feature_dma_logging_report.self)
            let words = UnsafeMutablePointer<UInt64>(bitPattern: UInt(report.bitmap))!
            words[0] = 1 << 63 | 1
            words[1] = .max
        }
        let device = try kernel.device()
        let log = try device.startDMALog(of: [0x10_0000..<0x15_0000])
        let pages = try log.takeDirtyPages(in: 0x10_0000..<0x14_2000)
        #expect(pages == [0x10_0000, 0x13_f000, 0x14_0000, 0x14_1000])
        try log.close()
    }

    @Test func aLogOfEverythingDoesNotOverflow() throws {
        answer()
        let device = try kernel.device()
        let log = try device.startDMALog(of: [0..<IOVA(1 << 63)])
        #expect(try log.takeDirtyPages(in: 0..<IOVA(1 << 63), pageSize: 1 << 62).isEmpty)
    }

    @Test func aSecondLogIsRefusedWithAWord() throws {
        answer { (feature, _, _) throws(Errno) in
            if feature == CVFIO_DEVICE_FEATURE_DMA_LOGGING_START { throw .invalidArgument }
        }
        let device = try kernel.device()
        expectError(errno: .invalidArgument, hintContaining: "keeps a log already") {
            _ = try device.startDMALog(of: [0x1000..<0x2000])
        }
    }

    @Test func aLogHoldsTheDeviceAndStopsOnce() throws {
        let stops = Notes<UInt32>()
        answer { (feature, _, _) throws(Errno) in
            if feature == CVFIO_DEVICE_FEATURE_DMA_LOGGING_STOP { stops.add(feature) }
        }
        let device = try kernel.device()
        do { _ = try device.startDMALog(of: [0x1000..<0x2000]) }
        #expect(stops.all.count == 1)
        let log = try device.startDMALog(of: [0x1000..<0x2000])
        #expect(failure(closing: device)?.code == .inUse)
        try log.close()
        #expect(stops.all.count == 2)
    }
}
