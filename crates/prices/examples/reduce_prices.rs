//! Reduces LiteLLM's price list to the table that Ducat embeds: `reduce_prices IN.json OUT.json`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(from), Some(to)) = (args.next(), args.next()) else {
        return Err("usage: reduce_prices IN.json OUT.json".into());
    };
    let table = ducat_prices::PriceTable::from_json(&std::fs::read_to_string(&from)?)?;
    std::fs::write(&to, table.to_json())?;
    println!("{to}: {} models", table.iter().count());
    Ok(())
}
