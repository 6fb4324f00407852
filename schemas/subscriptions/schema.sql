-- A company that sells a web application by subscription to other companies.
-- Neutral DDL, parents before children. One column per line: the loader appends comments where the engine has them,
-- stores NUMERIC as REAL in SQLite, and TIMESTAMP as DATETIME in MySQL.

CREATE TABLE plans (
    id INTEGER NOT NULL,
    name VARCHAR(40) NOT NULL,
    edition VARCHAR(20) NOT NULL,
    billing_period VARCHAR(10) NOT NULL,
    monthly_price NUMERIC(8, 2) NOT NULL,
    included_seats INTEGER NOT NULL,
    extra_seat_price NUMERIC(6, 2) NOT NULL,
    introduced_on DATE NOT NULL,
    retired_on DATE,
    PRIMARY KEY (id)
);

CREATE TABLE addons (
    id INTEGER NOT NULL,
    name VARCHAR(60) NOT NULL,
    monthly_price NUMERIC(8, 2) NOT NULL,
    introduced_on DATE NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE agents (
    id INTEGER NOT NULL,
    full_name VARCHAR(80) NOT NULL,
    team VARCHAR(30) NOT NULL,
    office VARCHAR(40) NOT NULL,
    hired_on DATE NOT NULL,
    left_on DATE,
    PRIMARY KEY (id)
);

CREATE TABLE accounts (
    id INTEGER NOT NULL,
    name VARCHAR(100) NOT NULL,
    industry VARCHAR(40) NOT NULL,
    country VARCHAR(40) NOT NULL,
    city VARCHAR(60) NOT NULL,
    employee_count INTEGER,
    acquisition_channel VARCHAR(30) NOT NULL,
    created_on DATE NOT NULL,
    parent_account_id INTEGER,
    referred_by_account_id INTEGER,
    account_manager_id INTEGER,
    PRIMARY KEY (id),
    FOREIGN KEY (parent_account_id) REFERENCES accounts (id),
    FOREIGN KEY (referred_by_account_id) REFERENCES accounts (id),
    FOREIGN KEY (account_manager_id) REFERENCES agents (id)
);

CREATE TABLE users (
    id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    full_name VARCHAR(80) NOT NULL,
    email VARCHAR(120) NOT NULL,
    role VARCHAR(20) NOT NULL,
    two_factor_enabled BOOLEAN NOT NULL,
    invited_on DATE NOT NULL,
    activated_on DATE,
    last_login_at TIMESTAMP,
    deactivated_on DATE,
    PRIMARY KEY (id),
    FOREIGN KEY (account_id) REFERENCES accounts (id)
);

CREATE TABLE subscriptions (
    id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    plan_id INTEGER NOT NULL,
    status VARCHAR(20) NOT NULL,
    started_on DATE NOT NULL,
    trial_ends_on DATE,
    ended_on DATE,
    seats INTEGER NOT NULL,
    discount_percent INTEGER NOT NULL,
    mrr NUMERIC(10, 2) NOT NULL,
    cancel_reason VARCHAR(40),
    PRIMARY KEY (id),
    FOREIGN KEY (account_id) REFERENCES accounts (id),
    FOREIGN KEY (plan_id) REFERENCES plans (id)
);

CREATE TABLE plan_changes (
    id INTEGER NOT NULL,
    subscription_id INTEGER NOT NULL,
    changed_on DATE NOT NULL,
    change_type VARCHAR(20) NOT NULL,
    from_plan_id INTEGER NOT NULL,
    to_plan_id INTEGER NOT NULL,
    mrr_change NUMERIC(10, 2) NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (subscription_id) REFERENCES subscriptions (id),
    FOREIGN KEY (from_plan_id) REFERENCES plans (id),
    FOREIGN KEY (to_plan_id) REFERENCES plans (id)
);

CREATE TABLE subscription_addons (
    subscription_id INTEGER NOT NULL,
    addon_id INTEGER NOT NULL,
    added_on DATE NOT NULL,
    removed_on DATE,
    PRIMARY KEY (subscription_id, addon_id),
    FOREIGN KEY (subscription_id) REFERENCES subscriptions (id),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
);

CREATE TABLE invoices (
    id INTEGER NOT NULL,
    invoice_number VARCHAR(20) NOT NULL,
    account_id INTEGER NOT NULL,
    subscription_id INTEGER NOT NULL,
    issued_on DATE NOT NULL,
    due_on DATE NOT NULL,
    period_start DATE NOT NULL,
    period_end DATE NOT NULL,
    total NUMERIC(12, 2) NOT NULL,
    status VARCHAR(20) NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (account_id) REFERENCES accounts (id),
    FOREIGN KEY (subscription_id) REFERENCES subscriptions (id)
);

CREATE TABLE invoice_lines (
    id INTEGER NOT NULL,
    invoice_id INTEGER NOT NULL,
    line_type VARCHAR(20) NOT NULL,
    addon_id INTEGER,
    description VARCHAR(120) NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price NUMERIC(10, 2) NOT NULL,
    amount NUMERIC(12, 2) NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (invoice_id) REFERENCES invoices (id),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
);

CREATE TABLE payments (
    id INTEGER NOT NULL,
    invoice_id INTEGER NOT NULL,
    attempted_at TIMESTAMP NOT NULL,
    method VARCHAR(20) NOT NULL,
    amount NUMERIC(12, 2) NOT NULL,
    status VARCHAR(20) NOT NULL,
    failure_reason VARCHAR(40),
    refunded_amount NUMERIC(12, 2) NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY (invoice_id) REFERENCES invoices (id)
);

CREATE TABLE usage_daily (
    account_id INTEGER NOT NULL,
    usage_date DATE NOT NULL,
    active_users INTEGER NOT NULL,
    reports_run INTEGER NOT NULL,
    api_calls INTEGER,
    storage_gb NUMERIC(10, 2) NOT NULL,
    PRIMARY KEY (account_id, usage_date),
    FOREIGN KEY (account_id) REFERENCES accounts (id)
);

CREATE TABLE tickets (
    id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    user_id INTEGER,
    agent_id INTEGER,
    subject VARCHAR(120) NOT NULL,
    category VARCHAR(30) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    priority VARCHAR(10) NOT NULL,
    status VARCHAR(20) NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    first_response_at TIMESTAMP,
    closed_at TIMESTAMP,
    satisfaction INTEGER,
    PRIMARY KEY (id),
    FOREIGN KEY (account_id) REFERENCES accounts (id),
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (agent_id) REFERENCES agents (id)
);

CREATE INDEX idx_users_account ON users (account_id);
CREATE INDEX idx_subscriptions_account ON subscriptions (account_id);
CREATE INDEX idx_subscriptions_plan ON subscriptions (plan_id);
CREATE INDEX idx_plan_changes_subscription ON plan_changes (subscription_id);
CREATE INDEX idx_invoices_account ON invoices (account_id);
CREATE INDEX idx_invoices_subscription ON invoices (subscription_id);
CREATE INDEX idx_invoices_issued ON invoices (issued_on);
CREATE INDEX idx_invoice_lines_invoice ON invoice_lines (invoice_id);
CREATE INDEX idx_payments_invoice ON payments (invoice_id);
CREATE INDEX idx_tickets_account ON tickets (account_id);
CREATE INDEX idx_tickets_agent ON tickets (agent_id);
CREATE INDEX idx_tickets_user ON tickets (user_id);
