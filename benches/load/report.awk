# "what server round rate p99 bad user system user system MiB" lines to a table, times in ticks of 10 ms; ratios are medians over rounds of Larder's rate to the peer's.
function median(list, count,    i, j, t) {
  for (i = 2; i <= count; i++) { t = list[i]; for (j = i - 1; j > 0 && list[j] > t; j--) list[j + 1] = list[j]; list[j + 1] = t }
  return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}
{
  if (!($1 in seen)) { seen[$1] = 1; whats[++kinds] = $1 }
  if (!(($1, $2) in there)) { there[$1, $2] = 1; servers[$1] = servers[$1] " " $2 }
  rate[$1, $2, $3] = $4; late[$1, $2, $3] = $5; bad[$1, $2] += $6
  done = $4 * (seconds + ($1 ~ /^h2/))
  if (done > 0) { user[$1, $2, $3] = ($9 - $7) * 10000 / done; sys[$1, $2, $3] = ($10 - $8) * 10000 / done }
  if ($11 > memory[$1, $2]) memory[$1, $2] = $11
  if ($3 > rounds[$1]) rounds[$1] = $3
}
END {
  print "\n| load | server | median req/s | best req/s | p99 ms | CPU us/req (user + system) | MiB | Larder to it |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
  for (k = 1; k <= kinds; k++) {
    what = whats[k]; n = rounds[what]; count = split(servers[what], names, " ")
    for (s = 1; s <= count; s++) {
      name = names[s]; best = 0
      for (r = 1; r <= n; r++) {
        a[r] = rate[what, name, r]; b[r] = late[what, name, r]; u[r] = user[what, name, r]; v[r] = sys[what, name, r]; if (a[r] > best) best = a[r]
        c[r] = rate[what, "larder", r] / (rate[what, name, r] > 0 ? rate[what, name, r] : 1)
      }
      ratio = name == "larder" ? "" : sprintf("%.2f", median(c, n))
      printf "| %s | %s%s | %.0f | %.0f | %.2f | %.1f + %.1f | %d | %s |\n", what, name, bad[what, name] ? " (errors)" : "", median(a, n), best, median(b, n), median(u, n), median(v, n), memory[what, name], ratio
    }
  }
}
