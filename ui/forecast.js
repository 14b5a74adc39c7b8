// What a month comes to if it goes on as lately. Pure.

/** Days looked back on. */
export const LOOKED_BACK = 28;
/** Of a normal spread four fifths lie this many deviations around the mean. */
const FOUR_FIFTHS = 1.2816;

/**
 * Spent so far, plus for each day to come the mean of the last four weeks' full days; the band holds four of five months if days are
 * independent. Null before there are three full days.
 * @param {{ date: string, usd: number }[]} days any order; days without a row spent nothing
 * @param {string} today
 * @returns {{ usd: number, band: number, days: number } | null}
 */
export function monthEnd(days, today) {
  const spent = new Map(days.map(({ date, usd }) => [date, usd]));
  const first = days.reduce((first, { date }) => (date < first ? date : first), today);
  const full = [];
  for (let back = 1; back <= LOOKED_BACK; back += 1) {
    const date = new Date(Date.parse(today) - back * 86_400_000).toISOString().slice(0, 10);
    if (date < first) break;
    full.push(spent.get(date) ?? 0);
  }
  if (full.length < 3) return null;
  const mean = full.reduce((sum, usd) => sum + usd, 0) / full.length;
  const variance = full.reduce((sum, usd) => sum + (usd - mean) ** 2, 0) / (full.length - 1);
  const month = today.slice(0, 7);
  const soFar = days.filter(({ date }) => date.startsWith(month) && date < today).reduce((sum, { usd }) => sum + usd, 0);
  const [year, number] = month.split("-").map(Number);
  const left = new Date(Date.UTC(year, number, 0)).getUTCDate() - Number(today.slice(8));
  // Of today either what is spent already or what a day comes to, whichever is more.
  const end = soFar + Math.max(spent.get(today) ?? 0, mean) + left * mean;
  return { usd: end, band: FOUR_FIFTHS * Math.sqrt(variance * (left + 1)), days: full.length };
}
