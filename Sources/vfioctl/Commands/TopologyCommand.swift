import ArgumentParser
import VFIO

struct TopologyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topology",
        abstract: "Draw the PCI tree with the shared IOMMU groups.",
        discussion: """
            The formats are text for terminals, svg for an image, dot for Graphviz, and json for programs: a list of the devices \
            with parent and group, as from `list --all --json`.
            """
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, svg, dot, json }

    @OptionGroup var machine: MachineOptions
    @OptionGroup var output: OutputOptions
    @Option(help: "The format: text, svg, dot, json.")
    var format = Format.text

    func run() throws {
        let functions = try PCIBus(kernel: machine.kernel).functions()
        let tree = TopologyTree(functions, PCINames(for: functions))
        switch output.json ? .json : format {
        case .text: for line in TextDrawing(tree: tree, style: output.style).lines() { print(line) }
        case .svg: print(SVGDrawing(tree: tree).text())
        case .dot: print(DOTDrawing(tree: tree).text())
        case .json: try JSON.print(tree.nodes.map(\.row))
        }
    }
}
