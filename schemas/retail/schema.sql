-- A shop with a web site, a mobile app, a telephone line and one store.
-- Neutral DDL, parents before children. One column per line: the loader appends comments where the engine has them
-- and stores NUMERIC as REAL in SQLite, where a whole number in a NUMERIC column would turn into an integer.

CREATE TABLE categories (
    category_id INTEGER NOT NULL,
    name VARCHAR(60) NOT NULL,
    department VARCHAR(40) NOT NULL,
    PRIMARY KEY (category_id)
);

CREATE TABLE suppliers (
    supplier_id INTEGER NOT NULL,
    name VARCHAR(80) NOT NULL,
    country VARCHAR(40) NOT NULL,
    city VARCHAR(60) NOT NULL,
    contact_email VARCHAR(120),
    lead_time_days INTEGER NOT NULL,
    rating NUMERIC(3, 2),
    PRIMARY KEY (supplier_id)
);

CREATE TABLE products (
    product_id INTEGER NOT NULL,
    name VARCHAR(120) NOT NULL,
    brand VARCHAR(40) NOT NULL,
    category_id INTEGER NOT NULL,
    supplier_id INTEGER NOT NULL,
    price NUMERIC(10, 2) NOT NULL,
    cost NUMERIC(10, 2) NOT NULL,
    color VARCHAR(20),
    weight_kg NUMERIC(8, 2),
    stock_quantity INTEGER NOT NULL,
    launch_date DATE NOT NULL,
    status VARCHAR(20) NOT NULL,
    PRIMARY KEY (product_id),
    FOREIGN KEY (category_id) REFERENCES categories (category_id),
    FOREIGN KEY (supplier_id) REFERENCES suppliers (supplier_id)
);

CREATE TABLE customers (
    customer_id INTEGER NOT NULL,
    first_name VARCHAR(40) NOT NULL,
    last_name VARCHAR(40) NOT NULL,
    email VARCHAR(120),
    phone VARCHAR(40),
    birth_date DATE,
    segment VARCHAR(20) NOT NULL,
    country VARCHAR(40) NOT NULL,
    signup_date DATE NOT NULL,
    loyalty_points INTEGER NOT NULL,
    notes TEXT,
    PRIMARY KEY (customer_id)
);

CREATE TABLE addresses (
    address_id INTEGER NOT NULL,
    customer_id INTEGER NOT NULL,
    address_type VARCHAR(20) NOT NULL,
    street VARCHAR(120) NOT NULL,
    city VARCHAR(60) NOT NULL,
    postal_code VARCHAR(12),
    country VARCHAR(40) NOT NULL,
    PRIMARY KEY (address_id),
    FOREIGN KEY (customer_id) REFERENCES customers (customer_id)
);

CREATE TABLE employees (
    employee_id INTEGER NOT NULL,
    first_name VARCHAR(40) NOT NULL,
    last_name VARCHAR(40) NOT NULL,
    job_title VARCHAR(60) NOT NULL,
    department VARCHAR(40) NOT NULL,
    hire_date DATE NOT NULL,
    salary NUMERIC(10, 2) NOT NULL,
    manager_id INTEGER,
    PRIMARY KEY (employee_id),
    FOREIGN KEY (manager_id) REFERENCES employees (employee_id)
);

CREATE TABLE campaigns (
    campaign_id INTEGER NOT NULL,
    name VARCHAR(80) NOT NULL,
    medium VARCHAR(30) NOT NULL,
    start_date DATE NOT NULL,
    end_date DATE NOT NULL,
    budget NUMERIC(12, 2) NOT NULL,
    PRIMARY KEY (campaign_id)
);

CREATE TABLE orders (
    order_id INTEGER NOT NULL,
    customer_id INTEGER NOT NULL,
    order_date DATE NOT NULL,
    status VARCHAR(20) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    total_amount NUMERIC(12, 2) NOT NULL,
    employee_id INTEGER,
    campaign_id INTEGER,
    shipping_address_id INTEGER,
    comment TEXT,
    PRIMARY KEY (order_id),
    FOREIGN KEY (customer_id) REFERENCES customers (customer_id),
    FOREIGN KEY (employee_id) REFERENCES employees (employee_id),
    FOREIGN KEY (campaign_id) REFERENCES campaigns (campaign_id),
    FOREIGN KEY (shipping_address_id) REFERENCES addresses (address_id)
);

CREATE TABLE order_lines (
    order_line_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    product_id INTEGER NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price NUMERIC(10, 2) NOT NULL,
    discount_percent INTEGER NOT NULL,
    line_total NUMERIC(12, 2) NOT NULL,
    PRIMARY KEY (order_line_id),
    FOREIGN KEY (order_id) REFERENCES orders (order_id),
    FOREIGN KEY (product_id) REFERENCES products (product_id)
);

CREATE TABLE payments (
    payment_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    payment_date DATE,
    method VARCHAR(20) NOT NULL,
    amount NUMERIC(12, 2) NOT NULL,
    status VARCHAR(20) NOT NULL,
    PRIMARY KEY (payment_id),
    FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE shipments (
    shipment_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    carrier VARCHAR(30) NOT NULL,
    shipped_date DATE NOT NULL,
    delivered_date DATE,
    shipping_cost NUMERIC(8, 2) NOT NULL,
    tracking_number VARCHAR(30),
    PRIMARY KEY (shipment_id),
    FOREIGN KEY (order_id) REFERENCES orders (order_id)
);

CREATE TABLE returns (
    return_id INTEGER NOT NULL,
    order_line_id INTEGER NOT NULL,
    return_date DATE NOT NULL,
    quantity INTEGER NOT NULL,
    reason VARCHAR(40) NOT NULL,
    refund_amount NUMERIC(12, 2) NOT NULL,
    comment TEXT,
    PRIMARY KEY (return_id),
    FOREIGN KEY (order_line_id) REFERENCES order_lines (order_line_id)
);

CREATE INDEX idx_products_category ON products (category_id);
CREATE INDEX idx_products_supplier ON products (supplier_id);
CREATE INDEX idx_addresses_customer ON addresses (customer_id);
CREATE INDEX idx_orders_customer ON orders (customer_id);
CREATE INDEX idx_orders_date ON orders (order_date);
CREATE INDEX idx_order_lines_order ON order_lines (order_id);
CREATE INDEX idx_order_lines_product ON order_lines (product_id);
CREATE INDEX idx_payments_order ON payments (order_id);
CREATE INDEX idx_shipments_order ON shipments (order_id);
CREATE INDEX idx_returns_order_line ON returns (order_line_id);
