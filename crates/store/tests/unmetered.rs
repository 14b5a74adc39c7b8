//! A request whose tokens nobody told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ducat_ledger::{FieldClass, Key, KeySpace, Request, Witness};
use ducat_prices::{NanoUsd, PriceTable};
use ducat_store::Pricer;

#[test]
fn costs_unknown_and_never_zero() {
    let prices = PriceTable::embedded();
    let mut request = Request::new(Key::of(KeySpace::Request, "shop", "1"), "shop", "1");
    request.model = Witness::OtlpSpan.tells(FieldClass::Usage, "gpt-5.4".to_owned());
    assert_eq!(prices.price(&request).cost, None);
    request.output_tokens = Witness::OtlpSpan.tells(FieldClass::Usage, 0);
    assert_eq!(prices.price(&request).cost, Some(NanoUsd(0)));
}
