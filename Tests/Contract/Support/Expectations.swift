// What is exported here, the other files of the target need not import.
@_exported import CVFIO
import Glibc
@_exported import SystemPackage
@_exported import TestSupport
@_exported import Testing
@_exported import VFIO

@testable import VFIO

/// Expects the library's refusal: its kind, and the kernel's errno, or `nil` when the kernel was not asked.
@discardableResult
func expectRefusal(
    _ code: VFIOError.Code, _ errno: Errno? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) -> VFIOError? {
    let error = #expect(throws: VFIOError.self, sourceLocation: sourceLocation) { try body() }
    guard let error else { return nil }
    #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
    #expect(error.errno == errno, "\(error)", sourceLocation: sourceLocation)
    return error
}

/// Expects the library's refusal of something done with an owner, which closures do not capture well in Swift 6.3.
func expectRefusal<Owner: ~Copyable>(
    _ code: VFIOError.Code, _ errno: Errno? = nil, of owner: borrowing Owner,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: (borrowing Owner) throws -> Void
) {
    do {
        try body(owner)
        Issue.record("it was not refused", sourceLocation: sourceLocation)
    } catch let error as VFIOError {
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        #expect(error.errno == errno, "\(error)", sourceLocation: sourceLocation)
    } catch { Issue.record(error, sourceLocation: sourceLocation) }
}

/// Expects the kernel's refusal.
func expectErrno(
    _ errno: Errno, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Int
) { #expect(throws: errno, comment, sourceLocation: sourceLocation) { try body() } }

extension Kernel {
    /// Expects the kernel's refusal of a request on a structure, which it may change all the same.
    func expectErrno<Structure: BitwiseCopyable>(
        _ errno: Errno, _ comment: Comment? = nil, _ file: FileDescriptor, _ request: UInt,
        _ structure: inout Structure, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do throws(Errno) {
            _ = try control(file, request, with: &structure)
            Issue.record(comment ?? "it was not refused", sourceLocation: sourceLocation)
        } catch { #expect(error == errno, comment, sourceLocation: sourceLocation) }
    }
}

/// Lets a little time pass, between two looks at something that takes its time.
func pause() { usleep(1000) }
