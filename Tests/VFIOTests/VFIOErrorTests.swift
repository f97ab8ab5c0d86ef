import Glibc

@testable import VFIO

@Suite struct VFIOErrorTests {
    @Test func aRefusalOfTheLibrarysSaysWhatAndOnWhat() {
        #expect(
            VFIOError(.busy, "open the group", "/dev/vfio/7").description == "cannot open the group for /dev/vfio/7")
    }

    @Test func theHintComesLast() {
        let error = VFIOError(.misaligned, "map memory", "3 bytes", hint: "lengths are multiples of 4096")
        #expect(error.description == "cannot map memory for 3 bytes: lengths are multiples of 4096")
    }

    @Test func theErrnoComesWithItsTextAndName() {
        let error = VFIOError(.kernel, "map memory (VFIO_IOMMU_MAP_DMA)", "IOVA 0x1000...0x1fff", errno: .fileExists)
        #expect(
            error.description
                == "cannot map memory (VFIO_IOMMU_MAP_DMA) for IOVA 0x1000...0x1fff: File exists (EEXIST)")
        #expect(
            VFIOError(.limit, "map", "it", errno: .noMemory, hint: "RLIMIT_MEMLOCK is 64").description
                == "cannot map for it: Cannot allocate memory (ENOMEM): RLIMIT_MEMLOCK is 64")
    }

    @Test func errorsAreComparedByAllTheirParts() {
        let error = VFIOError(.kernel, "do", "it", errno: .ioError, hint: "one")
        #expect(error == VFIOError(.kernel, "do", "it", errno: .ioError, hint: "one"))
        #expect(error != VFIOError(.busy, "do", "it", errno: .ioError, hint: "one"))
        #expect(error != VFIOError(.kernel, "be", "it", errno: .ioError, hint: "one"))
        #expect(error != VFIOError(.kernel, "do", "that", errno: .ioError, hint: "one"))
        #expect(error != VFIOError(.kernel, "do", "it", hint: "one"))
        #expect(error != VFIOError(.kernel, "do", "it", errno: .ioError))
    }

    @Test func everyCodeIsItselfAlone() {
        let codes: [(VFIOError.Code, String)] = [
            (.kernel, "kernel"), (.invalidArgument, "invalidArgument"), (.notFound, "notFound"),
            (.permissionDenied, "permissionDenied"), (.unsupported, "unsupported"), (.notBoundToVFIO, "notBoundToVFIO"),
            (.driverRefused, "driverRefused"),
            (.groupNotViable, "groupNotViable"), (.noDevice, "noDevice"), (.busy, "busy"),
            (.alreadyMapped, "alreadyMapped"), (.noSpace, "noSpace"), (.outOfRange, "outOfRange"),
            (.misaligned, "misaligned"), (.deviceMemory, "deviceMemory"), (.revoked, "revoked"),
            (.memoryDecodeOff, "memoryDecodeOff"), (.exporterClosed, "exporterClosed"), (.limit, "limit"),
            (.unexpectedAnswer, "unexpectedAnswer"), (.inUse, "inUse"),
        ]
        #expect(Set(codes.map(\.0)).count == codes.count)
        for (code, name) in codes { #expect(code.description == name) }
    }

    @Test(arguments: [
        (EPERM, "EPERM"), (ENOENT, "ENOENT"), (EIO, "EIO"), (ENXIO, "ENXIO"), (E2BIG, "E2BIG"), (EBADF, "EBADF"),
        (EAGAIN, "EAGAIN"), (EWOULDBLOCK, "EAGAIN"), (ENOMEM, "ENOMEM"), (EACCES, "EACCES"), (EFAULT, "EFAULT"),
        (EBUSY, "EBUSY"), (EEXIST, "EEXIST"), (ENODEV, "ENODEV"), (EINVAL, "EINVAL"), (ENFILE, "ENFILE"),
        (EMFILE, "EMFILE"), (ENOTTY, "ENOTTY"), (ENOSPC, "ENOSPC"), (ERANGE, "ERANGE"), (EOVERFLOW, "EOVERFLOW"),
        (EOPNOTSUPP, "EOPNOTSUPP"), (ENOTSUP, "EOPNOTSUPP"), (EADDRINUSE, "EADDRINUSE"),
        (EADDRNOTAVAIL, "EADDRNOTAVAIL"), (ECONNRESET, "ECONNRESET"), (ENOMSG, "ENOMSG"), (ETIMEDOUT, "ETIMEDOUT"),
    ]) func errnosHaveTheirNamesInC(_ number: Int32, _ name: String) { #expect(Errno(rawValue: number).symbol == name) }

    @Test(arguments: [0, 9999, -1] as [Int32]) func otherErrnosAreNumbers(_ number: Int32) {
        #expect(Errno(rawValue: number).symbol == "errno \(number)")
    }
}
