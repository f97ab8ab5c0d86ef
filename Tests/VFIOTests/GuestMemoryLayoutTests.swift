@testable import VFIO
@testable import VFIOPassthrough

/// What of a guest's memory is refused before the first call.
@Suite struct GuestMemoryLayoutTests {
    private func refusal(
        _ ranges: [GuestMemoryRange], allowed: [ClosedRange<IOVA>] = [0...0xfedf_ffff, 0xfef0_0000...0x7f_ffff_ffff]
    ) -> (VFIOError.Code, String)? {
        do throws(VFIOError) {
            try GuestMemoryLayout.check(
                ranges, beside: [0x5000...0x5fff], allowed: allowed, alignment: 4096, operation: "map")
            return nil
        } catch { return (error.code, error.description) }
    }

    @Test func whatFits() {
        #expect(refusal([]) == nil)
        #expect(refusal([.new(at: 0, byteCount: 0x5000), .new(at: 0x6000, byteCount: 0x1000)]) == nil)
        #expect(refusal([.new(at: 0xfedf_f000, byteCount: 0x1000), .new(at: 0xfef0_0000, byteCount: 0x1000)]) == nil)
        #expect(refusal([.new(at: 0xffff_ffff_ffff_f000, byteCount: 4096)], allowed: [0...(.init(.max))]) == nil)
    }

    @Test func holesAreNamed() throws {
        let (code, text) = try #require(refusal([.new(at: 0xfedf_f000, byteCount: 0x2000)]))
        #expect(code == .outOfRange)
        #expect(
            text == "cannot map for 8192 bytes at guest address 0xfedff000: it hits 0xfee00000...0xfeefffff, which the "
                + "devices cannot reach (on x86 interrupts are written to 0xfee00000); leave a hole there")
        let (_, beyond) = try #require(refusal([.new(at: 0x7f_ffff_f000, byteCount: 0x2000)]))
        #expect(beyond.contains("it hits 0x8000000000...0xffffffffffffffff, beyond what the IOMMU"))
        let (_, first) = try #require(refusal([.new(at: 0, byteCount: 4096)], allowed: [0x1000...0xffff]))
        #expect(first.contains("it hits 0x0...0xfff"))
        #expect(refusal([.new(at: 0, byteCount: 4096)], allowed: [])?.0 == .outOfRange)
    }

    @Test func whatNoLayoutMayHave() {
        #expect(refusal([.new(at: 0x4000, byteCount: 0x2000)])?.0 == .alreadyMapped)
        #expect(
            refusal([.new(at: 0x10000, byteCount: 0x2000), .new(at: 0x11000, byteCount: 0x1000)])?.0 == .alreadyMapped)
        #expect(refusal([.new(at: 0x10000, byteCount: 0)])?.0 == .invalidArgument)
        #expect(refusal([.new(at: 0x10000, byteCount: 4096, access: [])])?.0 == .invalidArgument)
        #expect(refusal([.new(at: 0x10010, byteCount: 4096)])?.0 == .misaligned)
        #expect(refusal([.new(at: 0x10000, byteCount: 4097)])?.0 == .misaligned)
        #expect(refusal([.new(at: 0x10000, byteCount: 4096, pages: .huge2MiB)])?.0 == .misaligned)
        #expect(refusal([.file(.init(rawValue: 3), offset: 1, at: 0x10000, byteCount: 4096)])?.0 == .misaligned)
        #expect(refusal([.new(at: 0xffff_ffff_ffff_f000, byteCount: 8192)])?.0 == .outOfRange)
        #expect(refusal([.new(at: 0x1000, byteCount: .max)])?.0 == .outOfRange)
    }
}
