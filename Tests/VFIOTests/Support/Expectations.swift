// What is exported here, the other files of the target need not import.
@_exported import CVFIO
@_exported import SystemPackage
@_exported import TestSupport
@_exported import Testing
@_exported import VFIO

@testable import VFIO

/// Expects an error of the library, and of it what is named.
@discardableResult
func expectError(
    _ code: VFIOError.Code? = nil, errno: Errno? = nil, hint: String? = nil, hintContaining part: String? = nil,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> VFIOError? {
    guard let error = #expect(throws: VFIOError.self, sourceLocation: sourceLocation, performing: body) else {
        return nil
    }
    if let code { #expect(error.code == code, sourceLocation: sourceLocation) }
    if let errno { #expect(error.errno == errno, sourceLocation: sourceLocation) }
    if let hint { #expect(error.hint == hint, sourceLocation: sourceLocation) }
    if let part { #expect(error.hint?.contains(part) == true, "\(error)", sourceLocation: sourceLocation) }
    return error
}

/// The code of what is thrown, if it is an error of the library.
func code(_ body: () throws -> Void) -> VFIOError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? VFIOError)?.code
    }
}

extension ScriptedKernel {
    /// Refuses a request with each errno, and expects it to be told under its code, with nothing left open.
    @discardableResult
    func expectRefusals(
        of request: UInt, _ codes: KeyValuePairs<Errno, VFIOError.Code>,
        sourceLocation: SourceLocation = #_sourceLocation, _ call: () throws -> Void
    ) -> VFIOError? {
        let before = openNames
        var last: VFIOError?
        for (errno, code) in codes {
            refuse(request, with: errno)
            last = expectError(code, errno: errno, sourceLocation: sourceLocation, call)
            #expect(openNames == before, "\(errno)", sourceLocation: sourceLocation)
        }
        return last
    }

    /// Expects a refusal of the library's own, for which the kernel is asked nothing.
    func expectRefusal(
        _ code: VFIOError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ call: () throws -> Void
    ) {
        let before = calls.count
        let error = expectError(code, sourceLocation: sourceLocation, call)
        #expect(error?.errno == nil, sourceLocation: sourceLocation)
        #expect(calls.count == before, sourceLocation: sourceLocation)
    }
}
