# The commands of this project; `make help` lists them.
CARGO ?= cargo
DENY  := .tools/bin/cargo-deny

.PHONY: help build run test test-long bench lint deny clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## Build the release binaries, target/release/ducat, ducat-hook and ducat-statusline
	$(CARGO) build --release --locked -p ducat-cli -p ducat-hook -p ducat-status-line

run: build ## Serve the page at http://localhost:9090, fed by the sessions of your coding agents
	target/release/ducat serve

test: ## Set up what the tests need and run all of them
	scripts/setup-test
	$(CARGO) test --workspace --locked --no-fail-fast

test-long: ## Fuzz, kill rounds, soak, every command of the docs, property tests at length; DUCAT_LONG_SECONDS each (default 600)
	scripts/setup-test
	DUCAT_LONG_SECONDS=$${DUCAT_LONG_SECONDS:-600} $(CARGO) test --locked -p ducat-end-to-end --test long -- --ignored --test-threads=1 --nocapture
	PROPTEST_CASES=$${PROPTEST_CASES:-20000} $(CARGO) test --workspace --locked --exclude ducat-end-to-end

bench: build ## Measure side by side with peers: reports, events, telemetry, hooks, sessions, an idle server, the page
	scripts/bench-report
	scripts/bench-events
	scripts/bench-otlp
	scripts/bench-hook
	scripts/bench-statusline
	scripts/bench-session
	scripts/bench-idle
	scripts/bench-page

lint: ## Formatting, clippy with warnings denied, the page's types, licences and sources of dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	scripts/lint-ui
	$(MAKE) deny

deny: $(DENY)
	$(DENY) check bans licenses sources

# Built once, without optimization: it checks a few hundred crates.
$(DENY):
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		$(CARGO) install cargo-deny --version 0.20.2 --locked --root .tools --quiet

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf .tools
