internal import CVFIO
import SystemPackage

/// A device in its slot.
protocol MigratingDevice: AnyObject {
    var model: any MockDevice { get set }
}

/// The migration state of a device, with the arcs and streams of the kernel's sample driver mtty.
final class MigrationControl {
    private(set) var state = CVFIO_DEVICE_STATE_RUNNING
    private(set) var saving: MigrationFile?
    private(set) var resuming: MigrationFile?
    private unowned let function: any MigratingDevice

    init(of function: any MigratingDevice) { self.function = function }

    private var model: (any MigratableDevice)? { function.model as? any MigratableDevice }

    var byteCount: Int { (model?.streamHeader.count ?? 0) + (model?.streamState.count ?? 0) }

    /// Resets the device: it runs, and its streams end.
    func reset() {
        state = CVFIO_DEVICE_STATE_RUNNING
        closeFiles()
    }

    func closeFiles() {
        saving?.disable()
        saving = nil
        resuming?.disable()
        resuming = nil
    }

    /// Changes to a state, through others where there is no arc, and returns the stream that the change began.
    func change(to target: UInt32) throws(Errno) -> MigrationFile? {
        var begun: MigrationFile?
        while state != target {
            let next = try Self.next(from: state, to: target)
            begun = try step(to: next)
            state = next
        }
        return begun
    }

    /// Returns the next state on the way to another, as `vfio_mig_get_next_state` for a device with all optional
    /// states.
    private static func next(from state: UInt32, to target: UInt32) throws(Errno) -> UInt32 {
        guard target != CVFIO_DEVICE_STATE_ERROR, target <= CVFIO_DEVICE_STATE_PRE_COPY_P2P else {
            throw .invalidArgument
        }
        switch state {
        case CVFIO_DEVICE_STATE_STOP:
            return target == CVFIO_DEVICE_STATE_STOP_COPY || target == CVFIO_DEVICE_STATE_RESUMING
                ? target : CVFIO_DEVICE_STATE_RUNNING_P2P
        case CVFIO_DEVICE_STATE_RUNNING:
            return target == CVFIO_DEVICE_STATE_PRE_COPY ? target : CVFIO_DEVICE_STATE_RUNNING_P2P
        case CVFIO_DEVICE_STATE_PRE_COPY:
            return target == CVFIO_DEVICE_STATE_PRE_COPY_P2P || target == CVFIO_DEVICE_STATE_STOP_COPY
                ? CVFIO_DEVICE_STATE_PRE_COPY_P2P : CVFIO_DEVICE_STATE_RUNNING
        case CVFIO_DEVICE_STATE_PRE_COPY_P2P:
            return target == CVFIO_DEVICE_STATE_PRE_COPY || target == CVFIO_DEVICE_STATE_STOP_COPY
                ? target : CVFIO_DEVICE_STATE_RUNNING_P2P
        case CVFIO_DEVICE_STATE_STOP_COPY:
            if target == CVFIO_DEVICE_STATE_PRE_COPY || target == CVFIO_DEVICE_STATE_PRE_COPY_P2P {
                throw .invalidArgument
            }
            return CVFIO_DEVICE_STATE_STOP
        case CVFIO_DEVICE_STATE_RESUMING: return CVFIO_DEVICE_STATE_STOP
        case CVFIO_DEVICE_STATE_RUNNING_P2P:
            switch target {
            case CVFIO_DEVICE_STATE_RUNNING, CVFIO_DEVICE_STATE_PRE_COPY: return CVFIO_DEVICE_STATE_RUNNING
            case CVFIO_DEVICE_STATE_PRE_COPY_P2P: return target
            default: return CVFIO_DEVICE_STATE_STOP
            }
        default: throw .invalidArgument
        }
    }

    private func step(to next: UInt32) throws(Errno) -> MigrationFile? {
        switch (state, next) {
        case (CVFIO_DEVICE_STATE_RESUMING, CVFIO_DEVICE_STATE_STOP): try load()
        case (CVFIO_DEVICE_STATE_PRE_COPY, CVFIO_DEVICE_STATE_RUNNING),
            (CVFIO_DEVICE_STATE_PRE_COPY_P2P, CVFIO_DEVICE_STATE_RUNNING_P2P),
            (CVFIO_DEVICE_STATE_STOP_COPY, CVFIO_DEVICE_STATE_STOP):
            closeFiles()
        case (CVFIO_DEVICE_STATE_RUNNING, CVFIO_DEVICE_STATE_PRE_COPY),
            (CVFIO_DEVICE_STATE_RUNNING_P2P, CVFIO_DEVICE_STATE_PRE_COPY_P2P):
            return save()
        case (_, CVFIO_DEVICE_STATE_STOP_COPY):
            let begun = saving == nil ? save() : nil
            saving?.bytes += model?.streamState ?? []
            return begun
        case (CVFIO_DEVICE_STATE_STOP, CVFIO_DEVICE_STATE_RESUMING):
            resuming = makeFile(isSaving: false)
            return resuming
        default: break
        }
        return nil
    }

    private func save() -> MigrationFile {
        let file = makeFile(isSaving: true)
        file.bytes = model?.streamHeader ?? []
        saving = file
        return file
    }

    private func makeFile(isSaving: Bool) -> MigrationFile {
        MigrationFile(
            isSaving: isSaving, limit: byteCount, headerByteCount: model?.streamHeader.count ?? 0, of: self
        ) { [model] in model?.accepts(streamHeader: $0) ?? false }
    }

    private func load() throws(Errno) {
        guard var model, let bytes = resuming?.bytes, bytes.count >= byteCount else { throw .invalidArgument }
        model.load(streamState: Array(bytes[model.streamHeader.count...]))
        function.model = model
        closeFiles()
    }
}
