/** The `-c` text of every shell: reads its real script line by line from stdin up to a marker, because some `sh` read ahead of a script on stdin. */
export const scriptEnd = '# rdev: end of script'
export const bootstrap = `s=
while IFS= read -r l; do
[ "$l" = '${scriptEnd}' ] && break
s="$s$l
"
done
eval "$s"`
