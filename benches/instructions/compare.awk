# baseline.tsv, then what was measured: a table, and for a case that costs too much the functions that grew most.
FNR == NR && /^#/ { judged = index($0, compiler) > 0; next }
FNR == NR { before[$1, $2] = $3; next }
{ now[$1, $2] = $3; if ($2 == "total") cases[++count] = $1; else functions[$1] = functions[$1] "\t" $2 }
END {
  print "| instructions for a request | baseline | now | change |\n| --- | ---: | ---: | ---: |"
  for (c = 1; c <= count; c++) {
    name = cases[c]; old = before[name, "total"]; new = now[name, "total"]
    printf "| %s | %d | %d | %s |\n", name, old, new, old ? sprintf("%+.1f %%", (new / old - 1) * 100) : "new"
    if (old && new > old * (1 + percent / 100)) worse[++bad] = name
  }
  for (b = 1; b <= bad; b++) {
    name = worse[b]; print "\n" name " costs more. What grew most:"
    n = split(functions[name], list, "\t")
    for (shown = 0; shown < 8; shown++) {
      most = 19; which = 0
      for (f = 2; f <= n; f++) if (list[f] != "" && now[name, list[f]] - before[name, list[f]] > most) { most = now[name, list[f]] - before[name, list[f]]; which = f }
      if (!which) break
      printf "  %+d  %s\n", most, list[which]; list[which] = ""
    }
  }
  if (!judged) { print "\nanother compiler than the baseline's (" compiler "): shown, not judged"; exit 0 }
  if (bad) { print "\n" bad " of " count " cases cost more than " percent " % above the baseline; benches/instructions/run --write accepts that"; exit 1 }
}
