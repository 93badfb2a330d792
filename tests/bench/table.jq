# Formats the results of a session (JSON lines, slurped) as a Markdown table: medians, with minimum
# and maximum in brackets. $scenarios lists the scenarios in their order.

def median: sort | if length == 0 then null
  elif length % 2 == 1 then .[length / 2 | floor]
  else (.[length / 2 - 1] + .[length / 2]) / 2 end;

# Formats 1234567.8 as 1,234,567.
def grouped: round | tostring
  | until(test("^[0-9]{1,3}(,|$)"); sub("(?<a>^[0-9]+)(?<b>[0-9]{3})"; "\(.a),\(.b)"));

def shown: if . == null then "" elif . < 0 then "-" + (-. | shown)
  elif . >= 1000 then grouped
  elif . >= 100 then (round | tostring)
  else (. * 100 | round) as $n | "\($n / 100 | floor).\($n % 100 | tostring | if length < 2 then "0" + . else . end)" end;

def ratio($a; $b): if $a == null or $b == null or $b == 0 then "" else ($a / $b | shown) end;

{
  cpuUsPerPacket: "CPU µs per packet",
  packetsPerSecond: "packets per second",
  latencyMedian: "median latency, µs",
  highestRate: "packets per second",
  memoryPerAllocation: "bytes per allocation",
  memoryPerAllocationWithChannel: "bytes per allocation, with permission and channel",
  memoryBefore: "resident bytes before the first client",
  memoryAfter: "resident bytes after the last has closed",
  allocationsPerSecond: "allocations per second",
  cpuUsPerAllocation: "CPU µs per allocation",
  bindingsPerSecond: "Binding answers per second",
  cpuUsPerBinding: "CPU µs per Binding"
} as $units
| (.[0].machine) as $machine
| [.[] | select(.scenario)] as $runs
| def values($scenario; $server; $metric):
    [$runs[] | select(.scenario == $scenario and (.server | startswith($server))) | .[$metric] | numbers];
  def cell($scenario; $server; $metric): values($scenario; $server; $metric)
    | if length == 0 then "–" else "\(median | shown) (\(min | shown)–\(max | shown))" end;
  [
    "| | | callbox | coturn | bare forwarder | callbox ÷ coturn | callbox ÷ forwarder |",
    "|---|---|---|---|---|---|---|",
    ($scenarios[0][] | . as $s | .metrics[] as $metric
      | def middle($server): values($s.name; $server; $metric) | median;
        select(any($runs[]; .scenario == $s.name))
        | "| \($s.title) | \($units[$metric]) | " +
          ([cell($s.name; "callbox"; $metric), cell($s.name; "coturn"; $metric),
            cell($s.name; "forwarder"; $metric),
            ratio(middle("callbox"); middle("coturn")),
            ratio(middle("callbox"); middle("forwarder"))] | join(" | ")) + " |"),
    # Indications relative to ChannelData of the same server.
    ($scenarios[0][] | select(.against) | . as $s
      | def own($server): ratio(values($s.name; $server; "cpuUsPerPacket") | median;
          values($s.against; $server; "cpuUsPerPacket") | median);
        select(own("callbox") != "")
        | "| \($s.title) | CPU, ÷ own ChannelData | \(own("callbox")) | \(own("coturn")) | – | | |")
  ]
  + ["", "Medians of \($machine.rounds) round(s) of \($machine.seconds) s (lowest–highest); \($machine.date), "
     + "\($machine.cpu), \($machine.cores) cores, \($machine.kernel); callbox \($machine.callbox), "
     + "coturn \($machine.coturn), rustc \($machine.rustc)."]
| join("\n")
