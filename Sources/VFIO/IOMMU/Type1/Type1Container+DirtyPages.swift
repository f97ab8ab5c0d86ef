internal import Synchronization
internal import SystemPackage

extension Type1Container {
    func startDirtyTracking(_ words: String) throws(VFIOError) {
        let isFirst = state.withLock { state in
            guard !state.isTracking else { return false }
            state.isTracking = true
            return true
        }
        guard isFirst else {
            throw VFIOError(
                .busy, ABI.Call.trackDirtyPages.operation(words), Type1Info.subject,
                hint: "its pages are tracked already")
        }
        do throws(VFIOError) {
            try ABI.trackDirtyPages(true).perform(on: self, words, Type1Info.subject)
        } catch {
            endTracking()
            throw error
        }
    }

    func stopDirtyTracking() throws(VFIOError) {
        defer { endTracking() }
        try ABI.trackDirtyPages(false).perform(on: self, "stop tracking dirty pages", Type1Info.subject)
    }

    /// Unmaps a range and returns the words of its dirty bitmap.
    func unmapReadingDirtyPages(
        _ iova: IOVA, byteCount: UInt64, pageSize: UInt64, _ words: String
    ) throws(VFIOError) -> [UInt64] {
        let subject = "IOVA \(iova)...\(IOVA(iova.rawValue + (byteCount - 1)))"
        let answer = try state.withLock { (state) throws(VFIOError) in
            let answer = try ABI.unmapDMA(iova.rawValue, byteCount: byteCount, readingPagesOf: pageSize).perform(
                on: self, words, subject)
            noteUnmapping(of: answer.byteCount, &state)
            return answer
        }
        guard answer.byteCount == byteCount else {
            throw VFIOError(
                .unexpectedAnswer, ABI.Call.unmapDMA.operation(words), subject,
                hint: "\(answer.byteCount) bytes were unmapped instead of \(byteCount)")
        }
        return answer.words
    }
}
